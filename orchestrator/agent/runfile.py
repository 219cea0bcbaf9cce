"""The run file, read and checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from . import protocol
from .records import Record

_LABEL = re.compile(r"gl1(-[a-z0-9]+){4}-(?P<deadline>[a-z0-9]{6})")


class BadRunFile(ValueError):
    """The driver wrote something that this agent cannot run."""


@dataclass(frozen=True)
class Model:
    """A model on a Hugging Face hub, at one commit."""

    id: str
    revision: str
    endpoint: str


@dataclass(frozen=True)
class Cost:
    """What the machine costs, and what the run had spent on others before it was asked for."""

    usd_per_hour: float
    before_usd: float


@dataclass(frozen=True)
class Upload:
    """What of the manifest goes to the bucket, and how often log and events go there."""

    keep: tuple[str, ...]
    every_s: float


@dataclass(frozen=True)
class RunFile:
    """RUN FILE of the protocol; times are epoch seconds."""

    run: str
    label: str
    created_s: float
    deadline_s: float
    stop_s: float
    hold_s: float
    keep_s: float
    ends_machine: bool
    device: str
    setup: str | None
    requirements: str | None
    try_for: str | None
    python: str
    model: Model | None
    command: str | list[str]
    environment: dict[str, str]
    checkpoints_every_s: int
    grace_s: float
    log_limit_bytes: int
    upload: Upload | None
    cost: Cost | None

    @property
    def latest_s(self) -> float:
        """The label's own deadline, which no deadline file can move; else the run file's."""
        match = _LABEL.fullmatch(self.label)
        return float(int(match.group("deadline"), 36)) if match else self.deadline_s


def parse_run_file(data: bytes) -> RunFile:
    """Raises BadRunFile, naming the first field that is wrong."""
    try:
        record = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadRunFile(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadRunFile("not a JSON object")
    if record.get("protocol") != protocol.PROTOCOL:
        raise BadRunFile(
            f"protocol {record.get('protocol')!r}, this agent speaks {protocol.PROTOCOL}"
        )
    device = _text(record, "device")
    if device not in ("cuda", "cpu"):
        raise BadRunFile(f"device: {device!r} is neither cuda nor cpu")
    return RunFile(
        run=_text(record, "run"),
        label=_text(record, "label"),
        created_s=_number(record, "created_at"),
        deadline_s=_number(record, "deadline_at"),
        stop_s=_number(record, "stop_at", _number(record, "deadline_at")),
        hold_s=_number(record, "hold_s"),
        keep_s=_number(record, "keep_s", 0),
        ends_machine=record.get("ends_machine") is not False,
        device=device,
        setup=_optional_text(record, "setup"),
        requirements=_inside(_optional_text(record, "requirements")),
        try_for=_optional_text(record, "try_for"),
        python=_text(record, "python", "3.11"),
        model=_model(record.get("model")),
        command=_command(record.get("command")),
        environment=_environment(record.get("environment")),
        checkpoints_every_s=int(_number(record, "checkpoints_every_s", 900)),
        grace_s=_number(record, "grace_s", 60),
        log_limit_bytes=int(_number(record, "log_limit_bytes", 1 << 30)),
        upload=_upload(record.get("upload")),
        cost=_cost(record.get("cost")),
    )


def _text(record: Record, name: str, default: str | None = None) -> str:
    value = record.get(name, default)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadRunFile(f"{name}: not a text: {value!r}")
    return value


def _optional_text(record: Record, name: str) -> str | None:
    return None if record.get(name) is None else _text(record, name)


def _number(record: Record, name: str, default: float | None = None) -> float:
    value = record.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e18:
        raise BadRunFile(f"{name}: not a number from 0: {value!r}")
    return float(value)


def _inside(path: str | None) -> str | None:
    if path is not None and (path.startswith(("/", "-")) or ".." in PurePosixPath(path).parts):
        raise BadRunFile(f"requirements: {path!r} is not inside code/")
    return path


def _model(value: object) -> Model | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRunFile("model: not an object")
    record = cast(Record, value)
    return Model(
        _text(record, "id"), _text(record, "revision"), _text(record, "endpoint").rstrip("/")
    )


def _upload(value: object) -> Upload | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRunFile("upload: not an object")
    record = cast(Record, value)
    keep = record.get("keep")
    if not isinstance(keep, list) or any(kind not in protocol.KINDS for kind in keep):
        raise BadRunFile(f"upload: keep: not a list of kinds: {keep!r}")
    return Upload(tuple(keep), max(1.0, _number(record, "every_s", 30)))


def _cost(value: object) -> Cost | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRunFile("cost: not an object")
    record = cast(Record, value)
    return Cost(_number(record, "usd_per_hour"), _number(record, "before_usd"))


def _command(value: object) -> str | list[str]:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return value
    raise BadRunFile(f"command: neither a text nor a list of texts: {value!r}")


def _environment(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRunFile("environment: not an object")
    for name, text in value.items():
        if not isinstance(text, str) or not name or "=" in name or "\0" in name + text:
            raise BadRunFile(f"environment: {name!r} is not a name with a text")
    return value
