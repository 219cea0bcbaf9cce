"""Makes room for another run's job on a machine whose own job is over and fetched."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Mapping

from . import protocol
from .clock import Clock
from .records import read_record

# What a job leaves behind. Its environment, model, code and data stay: what of them the next job
# does not need, the driver and the next set-up remove. `run.json` stays for the boot guard, which
# ends a machine that has none.
_LEFT = (
    protocol.EVENTS_FILE,
    protocol.LOG_FILE,
    protocol.OUTPUT_DIR,
    protocol.CHECKPOINTS_DIR,
    protocol.METRICS_FILE,
    protocol.EXIT_FILE,
    protocol.MANIFEST_FILE,
    protocol.INDEX_FILE,
    protocol.STOP_FILE,
    protocol.SENT_FILE,
    protocol.STDERR_FILE,
    protocol.RESERVE_FILE,
    protocol.TAILS_DIR,
    protocol.PID_FILE,
    protocol.CONCLUDED_FILE,
    protocol.RESUMED_FILE,
)
_SECRETS = (protocol.SECRETS_FILE, protocol.SLOTS_FILE)
_CLEARING_FILE = f"{protocol.CLEARED_FILE}.new"


class NotOver(Exception):
    """The job still runs, its results were not fetched, or the machine is ending."""


def begin(work: Path, run: str) -> bool:
    """Whether there is anything to clear for `run`; from here it is clear for whom.

    Raises NotOver.
    """
    if _text(work / protocol.CLEARED_FILE) == run:
        return False
    if (work / protocol.END_FILE).exists():
        raise NotOver("this machine is ending")
    if not (work / protocol.FETCHED_FILE).exists() and _text(work / _CLEARING_FILE) != run:
        raise NotOver("its job is not over, or not everything was fetched")
    _write(work / _CLEARING_FILE, run)
    return True


def finish(work: Path, machine: Mapping[str, str]) -> None:
    """Remove what the old job left, its agent being gone; safe to repeat."""
    _shorten_deadline(work, Clock(machine.get("GPULEASE_CLOCK")))
    for name in _SECRETS:
        with contextlib.suppress(OSError):  # where it is in memory, this is a link to it
            target = Path(os.readlink(str(work / name)))
            if target.name.startswith(".gl-"):
                target.unlink()
        with contextlib.suppress(OSError):
            (work / name).unlink()
    for name in (*_LEFT, protocol.FETCHED_FILE):
        path = work / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    (work / _CLEARING_FILE).replace(work / protocol.CLEARED_FILE)


def _shorten_deadline(work: Path, clock: Clock) -> None:
    """If nobody comes any more, the machine ends as soon as it would have with results on it."""
    run = read_record(work / protocol.RUN_FILE) or {}
    hold_s = run.get("hold_s")
    if run.get("ends_machine") is False or not isinstance(hold_s, (int, float)):
        return
    path = work / protocol.DEADLINE_FILE
    until_s = clock.now_s() + float(hold_s)
    with contextlib.suppress(OSError, ValueError):
        until_s = min(until_s, float(path.read_text()))
    _write(path, f"{int(until_s)}\n")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.write")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
