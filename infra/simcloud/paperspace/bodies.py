"""Reading bodies as strictly as Paperspace describes them: what is unknown is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from infra.simcloud.paperspace.problems import bad, unparsed
from infra.simcloud.web import Json, Request

_NUMBER = (int, float)
_CREATE: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "machineType": str,
    "templateId": str,
    "networkId": str,
    "diskSize": _NUMBER,
    "region": str,
    "publicIpType": str,
    "autoSnapshotEnabled": bool,
    "autoSnapshotFrequency": str,
    "autoSnapshotSaveCount": _NUMBER,
    "autoShutdownEnabled": bool,
    "autoShutdownTimeout": _NUMBER,
    "autoShutdownForce": bool,
    "takeInitialSnapshot": bool,
    "restorePointEnabled": bool,
    "restorePointFrequency": str,
    "startupScriptId": str,
    "emailPassword": bool,
    "startOnCreate": bool,
    "enableNvlink": bool,
    "accessorIds": list,
}
_WORDS = {
    "publicIpType": ("static", "dynamic", "none"),
    "autoSnapshotFrequency": ("hourly", "daily", "weekly", "monthly"),
    "restorePointFrequency": ("shutdown",),
}
_REQUIRED = ("name", "machineType", "templateId", "region", "diskSize")
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Create:
    """A create that keeps every rule that needs no look at the team."""

    fields: Mapping[str, Json]

    def text(self, name: str, default: str = "") -> str:
        """A text, or the default."""
        return str(self.fields.get(name, default))

    def number(self, name: str) -> float:
        """A number, 0 where none was sent."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A yes or no."""
        return self.fields.get(name, default) is True


def check_body(request: Request) -> None:
    """A body that says that it is JSON must be. Raises: Problem."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            json.loads(request.body)
        except ValueError:
            raise unparsed() from None


def read_object(request: Request, known: Mapping[str, type | tuple[type, ...]]) -> dict[str, Json]:
    """The JSON object of a request, with known fields of their types alone. Raises: Problem."""
    try:
        data = json.loads(request.body)
    except ValueError:
        raise unparsed() from None
    if not isinstance(data, dict):
        raise bad("Expected object")
    for name, value in data.items():
        if name not in known:
            raise bad(f"Unrecognized key(s) in object: '{name}'")
        kind = known[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise bad(f"Invalid value for {name}")
    return data


def read_create(request: Request) -> Create:
    """Raises: Problem."""
    data = read_object(request, _CREATE)
    if missing := [name for name in _REQUIRED if name not in data]:
        raise bad(f"{missing[0]}: Required")
    for name, words in _WORDS.items():
        if name in data and data[name] not in words:
            raise bad(f"Invalid enum value for {name}")
    name = str(data["name"])
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise bad("name: too short or too long")
    made = Create(data)
    if made.number("diskSize") <= 0:
        raise bad("diskSize: must be greater than 0")
    return made
