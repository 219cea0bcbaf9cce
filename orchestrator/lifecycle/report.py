"""What the agent's events say, folded into the run. Pure; every byte is untrusted.

The program runs as the agent's user and can write the agent's files: a line is a hint, no proof.
"""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from typing import TypeGuard

from orchestrator.agent.protocol import WHY
from orchestrator.artifacts.log import without_escapes
from orchestrator.runs.lease import Lease
from orchestrator.runs.losses import with_loss
from orchestrator.runs.run import Run

LONGEST_LINE_BYTES = 65_536
_NUMBERS = ("step", "steps", "loss", "learning_rate", "samples_per_s", "epoch", "eta_s")
_MANY = 64
_LONG = 2000
_MOST_SAID = 2000  # things that one run's machines may have to say


def fold(run: Run, data: bytes, now_s: float) -> tuple[Run, list[str]]:
    """The run after the whole lines in `data`, and what a person may want to read of them.

    `event_offset` moves by what was used: an unfinished last line is read again, one that is
    longer than any event is skipped.
    """
    used = data.rfind(b"\n") + 1
    if used == 0:
        if len(data) < LONGEST_LINE_BYTES:
            return run, []
        used = len(data)
    said: list[str] = []
    for line in data[:used].splitlines():
        event = to_record(line)
        if event is not None:
            run = _apply(run, event, said, now_s)
    kept = said[: max(0, _MOST_SAID - run.told)]
    if run.told < _MOST_SAID <= run.told + len(said):
        kept.append("the machine says more than is kept here")
    told, offset = run.told + len(said), run.event_offset + used
    return replace(run, event_offset=offset, heard_s=now_s, told=told), kept


def to_record(line: bytes) -> dict[str, object] | None:
    """One JSON object of a sane size, else None."""
    if len(line) > LONGEST_LINE_BYTES:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def to_exit(record: dict[str, object]) -> dict[str, object]:
    """The known fields of an exit record, each of its type."""
    cleaned: dict[str, object] = {}
    for key in ("exit_code", "signal", "started_at", "ended_at"):
        value = record.get(key)
        if _is_number(value):
            cleaned[key] = value
    for key in ("why", "phase", "message"):
        value = record.get(key)
        if isinstance(value, str):
            cleaned[key] = printable(value)
    for key in ("out_of_memory", "disk_full"):
        cleaned[key] = record.get(key) is True
    if cleaned.get("why") not in WHY:
        cleaned["why"] = "finished"
    return cleaned


def to_metrics(record: object) -> dict[str, float | str]:
    """Numbers and short texts of a metrics file; at most 64 of them."""
    if not isinstance(record, dict):
        return {}
    metrics: dict[str, float | str] = {}
    for key, value in list(record.items())[:_MANY]:
        if isinstance(value, str):
            metrics[printable(str(key))[:80]] = printable(value)[:200]
        elif _is_number(value):
            metrics[printable(str(key))[:80]] = float(value)
    return metrics


def printable(text: str) -> str:
    """Text without escapes and control characters, at most 2,000 characters.

    >>> printable("a" + chr(27) + "[31mb")
    'ab'
    """
    return "".join(c for c in without_escapes(text[:_LONG]) if c.isprintable() or c == "\n")


def _is_number(value: object) -> TypeGuard[int | float]:
    """A finite number of a size that a float holds; JSON knows longer ones."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _apply(run: Run, event: dict[str, object], said: list[str], now_s: float) -> Run:
    name = event.get("event")
    if name == "progress":
        numbers = to_metrics({key: event[key] for key in _NUMBERS if key in event})
        progress = {
            key: float(value) for key, value in numbers.items() if not isinstance(value, str)
        }
        measured = to_metrics(event.get("metrics"))
        metrics = {k: float(v) for k, v in measured.items() if not isinstance(v, str)}
        if "step" in progress and "loss" in progress:
            run = replace(run, losses=with_loss(run.losses, progress["step"], progress["loss"]))
        known = {**run.progress_metrics, **metrics}
        return replace(run, progress=progress, progress_metrics=dict(list(known.items())[-_MANY:]))
    if name == "checkpoint":
        path, step = event.get("path"), event.get("step")
        if isinstance(path, str) and isinstance(step, int):
            said.append(f"checkpoint at step {step}")
            return replace(run, checkpoint=printable(path)[:200])
    if name == "restarted":
        text = (
            f"the program was killed by {_signal_name(event.get('signal'))}, and went on from its "
            f"checkpoint at step {_step(event.get('step'))}"
        )
        said.append(text)
        return run.note(text)
    if name == "resumed":
        return replace(run, exit={}, manifest_ready=False, upload="", upload_problem="")
    if name == "exited" and not run.exit:
        record = to_exit(event)
        said.append(f"the program ended: {record.get('exit_code', record['why'])}")
        return replace(run, exit=record)
    if name == "upload" and event.get("state") in ("sending", "failing", "complete"):
        left_bytes = event.get("left_bytes")
        return replace(
            run,
            upload=str(event["state"]),
            upload_problem=printable(str(event.get("problem", "")))[:200],
            upload_left_bytes=int(left_bytes) if _is_number(left_bytes) else 0,
        )
    if name == "host" and run.lease is not None and run.lease.is_open:
        return run.with_lease(_with_traffic(run.lease, event, now_s))
    if name == "ready":
        return replace(run, manifest_ready=True)
    if name == "message" and isinstance(event.get("text"), str):
        said.append(printable(str(event["text"])))
    if name == "phase":
        said.append(printable(f"{event.get('phase')} {event.get('state')}")[:200])
        if event.get("phase") == "program" and event.get("state") == "started":
            return replace(run, progress={"step": 0.0, **run.progress})
    return run


def _with_traffic(lease: Lease, event: dict[str, object], now_s: float) -> Lease:
    counted = [event.get(key) for key in ("received_bytes", "sent_bytes")]
    received, sent = (float(one) if _is_number(one) else 0.0 for one in counted)
    lived_s = now_s - (lease.sent_s or now_s)
    line = lease.offer.download_mbit_s
    return replace(
        lease, traffic=lease.traffic.heard(received, sent, lived_s=lived_s, line_mbit_s=line)
    )


def _signal_name(number: object) -> str:
    try:
        return signal.Signals(number).name if isinstance(number, int) else "a signal"
    except ValueError:
        return "a signal"


def _step(step: object) -> str:
    return f"{step:.0f}" if _is_number(step) else "?"
