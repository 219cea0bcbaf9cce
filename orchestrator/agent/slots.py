"""The slots file: which keys of the bucket this machine may still write, and with which URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

from . import protocol
from .records import Record, read_record

_PART_BYTES = 256 << 20
_LONGEST_PART_BYTES = 4 << 30  # S3 takes 5 GiB in one PUT


class Slots:
    """Keys to write to, each one at a time. The file may be replaced while this lives."""

    def __init__(self, work: Path) -> None:
        self._path = work / protocol.SLOTS_FILE
        self._urls: dict[str, str] = {}
        self._taken: set[str] = set()
        self._seen: tuple[int, int] | None = None
        self._part_bytes = _PART_BYTES
        self.index_url = ""
        self.look()

    def look(self) -> bool:
        """Read the file if it is new; whether it was."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        seen = found.st_mtime_ns, found.st_ino
        record = read_record(self._path) if seen != self._seen else None
        if record is None:
            return False
        self._seen = seen
        index = record.get("index")
        self.index_url = _text(index, "url") or self.index_url
        slots = record.get("slots")
        for slot in slots if isinstance(slots, list) else []:
            key, url = _text(slot, "key"), _text(slot, "url")
            if key and url:
                self._urls[key] = url
        part_bytes = record.get("part_bytes")
        if isinstance(part_bytes, int) and part_bytes > 0:
            self._part_bytes = min(part_bytes, _LONGEST_PART_BYTES)
        return True

    def url(self, key: str) -> str:
        """The newest URL of a key; "" when nobody signed one."""
        return self._urls.get(key, "")

    def take(self) -> str | None:
        """A key that nothing lies under; None when all are in use."""
        for key in self._urls:
            if key not in self._taken:
                self._taken.add(key)
                return key
        return None

    def keep(self, keys: Iterable[str]) -> None:
        """From now on exactly these are in use."""
        self._taken = set(keys)

    def part_bytes(self, coming_bytes: int) -> int:
        """How large one object should be, so that the keys that are free suffice."""
        free = max(1, (len(self._urls) - len(self._taken)) // 2)
        return min(_LONGEST_PART_BYTES, max(self._part_bytes, -(-coming_bytes // free)))


def _text(record: object, name: str) -> str:
    found: Record = record if isinstance(record, dict) else {}
    value = found.get(name)
    return value if isinstance(value, str) else ""
