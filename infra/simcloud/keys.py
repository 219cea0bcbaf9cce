"""Who may do what: keys of an account, read-only keys, and the key that each machine has."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from infra.simcloud.world import World


class Right(StrEnum):
    """How far a key reaches."""

    ALL = "all"
    READ_ONLY = "read_only"
    MACHINE = "machine"  # its own machine, and of that only what the switches say


@dataclass(frozen=True, slots=True)
class Key:
    """One bearer token."""

    text: str
    account: str
    right: Right
    machine_id: str = ""


class Keys:
    """Every key that was ever given out; fake ones, the same for the same seed."""

    def __init__(self, world: World, prefix: str = "") -> None:
        self._world = world
        self._prefix = prefix
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        self._revoked: set[str] = set()
        self.main = self._make("main", Right.ALL)
        self.read_only = self._make("main", Right.READ_ONLY)
        self.other = self._make("other", Right.ALL)

    def for_machine(self, account: str, machine_id: str) -> Key:
        """The key that a machine finds in its environment."""
        return self._make(account, Right.MACHINE, machine_id)

    def find(self, authorization: str) -> Key | None:
        """The key of an `Authorization` header, None for one that is unknown or revoked."""
        scheme, _, token = authorization.partition(" ")
        with self._lock:
            key = self._keys.get(token.strip())
            if scheme.lower() != "bearer" or key is None or key.text in self._revoked:
                return None
            return key

    def revoke(self, key: Key) -> None:
        """From now on it is refused; machines' keys are not touched."""
        with self._lock:
            self._revoked.add(key.text)

    def restore(self) -> None:
        """Revoked keys work again."""
        with self._lock:
            self._revoked.clear()

    def _make(self, account: str, right: Right, machine_id: str = "") -> Key:
        text = f"{self._prefix}{self._world.word(32).upper()}"
        key = Key(text, account, right, machine_id)
        with self._lock:
            self._keys[key.text] = key
        return key
