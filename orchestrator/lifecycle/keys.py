"""Values of credentials that this process may use: handed over by clients, else looked up."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Keys:
    """Values stay in memory only. One that works is never replaced by another.

    One that was refused goes behind the others and is forgotten by none: a refusal may be the
    provider's mistake, and the machine of an account is only returned by that account's key.
    """

    def __init__(self, look_up: Callable[[str], str | None]) -> None:
        self._look_up = look_up
        self._values: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> str | None:
        """The value of a named credential, None when nobody gave one."""
        with self._lock:
            values = self._values.get(name)
            if values:
                return values[0]
        return self._look_up(name)

    def take(self, keys: dict[str, str]) -> None:
        """Keep what a client hands over; a second value waits until the first is refused."""
        with self._lock:
            for name, value in keys.items():
                self._add(name, value)

    def all(self) -> dict[str, list[str]]:
        """Every value of every name, the one in use first: a successor has to be given them."""
        with self._lock:
            return {name: list(values) for name, values in self._values.items()}

    def refused(self, name: str) -> None:
        """The provider refused the value, or it is another account's: use the next one.

        What is kept on this computer is read anew: it may have been corrected.
        """
        kept = self._look_up(name)
        with self._lock:
            if kept is not None:
                self._add(name, kept)
            if values := self._values.get(name):
                values.append(values.pop(0))

    def _add(self, name: str, value: str) -> None:
        values = self._values.setdefault(name, [])
        if value not in values:
            values.append(value)
