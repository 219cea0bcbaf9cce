"""Values of credentials that this process may use: handed over by clients, else looked up."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Keys:
    """Handed-over values stay in memory only. One that works is never replaced by another."""

    def __init__(self, look_up: Callable[[str], str | None]) -> None:
        self._look_up = look_up
        self._handed: dict[str, str] = {}
        self._spare: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> str | None:
        """The value of a named credential, None when nobody gave one."""
        with self._lock:
            handed = self._handed.get(name)
        return handed if handed is not None else self._look_up(name)

    def take(self, keys: dict[str, str]) -> None:
        """Keep what a client hands over; a second value waits until the first is refused."""
        with self._lock:
            for name, value in keys.items():
                if self._handed.setdefault(name, value) != value:
                    self._spare[name] = value

    def refused(self, name: str) -> None:
        """The provider refused the value, or it is another account's: use the next one."""
        with self._lock:
            self._handed.pop(name, None)
            if (spare := self._spare.pop(name, None)) is not None:
                self._handed[name] = spare
