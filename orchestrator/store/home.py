"""A home: one data folder on one computer, with an id that only this computer may use."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import HomeError

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Home:
    """Where this home lies and what it is called in labels."""

    folder: Path
    id: str  # six base36 digits
    is_copy: bool  # made on another computer: read only

    def check_writable(self) -> None:
        """Raise HomeError when this is a copy: two computers must never drive one home."""
        if self.is_copy:
            raise HomeError(
                f"the home {self.folder} belongs to another computer: it is read only here",
                hint="use another GPULEASE_HOME here; runs go on where they were submitted",
            )


def open_home(folder: Path, *, computer: str | None = None) -> Home:
    """The home in `folder`, made when absent. `computer` overrides this computer's id in tests."""
    path = folder / "home.json"
    computer = computer or computer_id()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, {"id": _new_id(), "computer": computer})
        record = json.loads(path.read_text())
        return Home(folder, str(record["id"]), record["computer"] != computer)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HomeError(
            f"the home {folder} cannot be used: {error}", hint="set GPULEASE_HOME or --home"
        ) from error


def computer_id() -> str:
    """A hash of this computer's own id; never the id itself."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text:
            break
    else:
        text = f"{uuid.getnode():x}"
    return hashlib.sha256(f"gpulease {text}".encode()).hexdigest()[:16]


def _new_id() -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(6))


def _write_once(path: Path, record: dict[str, str]) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with part.open("x") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)  # the first of two processes wins
    except FileExistsError:
        pass
    finally:
        part.unlink()
