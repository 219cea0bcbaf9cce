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
_RECORD = "home.json"


@dataclass(frozen=True, slots=True)
class Home:
    """Where this home lies and what it is called in labels."""

    folder: Path
    id: str  # six base36 digits
    owner: str = ""  # the computer or folder whose copy this is: then it is read only

    @property
    def is_copy(self) -> bool:
        return bool(self.owner)

    def check_writable(self) -> None:
        """Raise HomeError when this is a copy: one home must never be driven twice."""
        if self.is_copy:
            raise HomeError(
                f"the home {self.folder} belongs to {self.owner}: it is read only here",
                hint="use another GPULEASE_HOME here; runs go on where they were submitted",
            )


def open_home(folder: Path, *, computer: str | None = None) -> Home:
    """The home in `folder`, made when absent. `computer` overrides this computer's id in tests.

    A home that was moved, or restored in its place, is the same home; one that lies beside the
    folder in which it was made is a copy.
    """
    path = folder / _RECORD
    computer = computer or computer_id()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            made = {"id": _new_id(), "computer": computer, "folder": str(folder.resolve())}
            _write_once(path, made)
        record = json.loads(path.read_text())
        home_id = str(record["id"])
        if record["computer"] != computer:
            return Home(folder, home_id, "another computer")
        first = Path(str(record.get("folder") or folder.resolve()))
        is_beside = first != folder.resolve() and _id_of(first) == home_id
        return Home(folder, home_id, str(first) if is_beside else "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HomeError(
            f"the home {folder} cannot be used: {error}", hint="set GPULEASE_HOME or --home"
        ) from error


def run_folder(home: Path, run_id: str) -> Path:
    """Where everything of one run lies at home."""
    return home / "runs" / run_id


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


def _id_of(folder: Path) -> str:
    """The id of a home that may not be there."""
    try:
        return str(json.loads((folder / _RECORD).read_text())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
