"""The sign of life of a reaper on another host: which accounts it has searched, and when.

It lies in a bucket, or in a folder that both computers see. Whoever can write there can claim that
a reaper lives; so it only ever stands for the machine's own guard, never for the deadline.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.artifacts.s3 import S3
from orchestrator.errors import HomeError
from orchestrator.providers.base import same_account
from orchestrator.spec.place import parse_place

FRESH_S = 600.0  # older than this it says nothing any more
_AHEAD_S = 60.0  # so far the other host's clock may be ahead of ours
_LIMIT_BYTES = 64 << 10
_MOST_ACCOUNTS = 100


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One finished search; `accounts`: provider → identity of the account, as its key told it."""

    at_s: float
    accounts: Mapping[str, str]

    def document(self) -> bytes:
        record = {"schema": 1, "at": self.at_s, "accounts": dict(self.accounts)}
        return (json.dumps(record, sort_keys=True) + "\n").encode()

    def watches(self, name: str, identity: str, now_s: float) -> bool:
        """Whether this very account was searched a moment ago."""
        age_s = now_s - self.at_s
        told = self.accounts.get(name, "")
        return -_AHEAD_S <= age_s <= FRESH_S and same_account(told, identity) is True


def to_heartbeat(data: bytes) -> Heartbeat | None:
    """What a document says; None when it is none of ours. Untrusted.

    >>> to_heartbeat(b'{"schema": 1, "at": 5, "accounts": {"lambda": "key:aa"}}')
    Heartbeat(at_s=5.0, accounts={'lambda': 'key:aa'})
    """
    try:
        record = json.loads(data[: _LIMIT_BYTES + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    at_s, accounts = record.get("at"), record.get("accounts")
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not abs(at_s) < 1e12:
        return None
    if not isinstance(accounts, dict) or not math.isfinite(at_s):
        return None
    named = {name: told for name, told in accounts.items() if isinstance(told, str)}
    return Heartbeat(float(at_s), dict(list(named.items())[:_MOST_ACCOUNTS]))


@dataclass(frozen=True, slots=True)
class HeartbeatPlace:
    """Where it lies: `s3://bucket/key`, or a path; nowhere when empty."""

    address: str
    open_s3: Callable[[], S3]

    def write(self, heartbeat: Heartbeat) -> None:
        """Raises: HomeError, BucketRefused, BucketDown."""
        if self.address.startswith("s3://"):
            self.open_s3().put(parse_place(self.address), heartbeat.document())
            return
        path = Path(self.address)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            new.write_bytes(heartbeat.document())
            new.replace(path)
        except OSError as error:
            raise HomeError(f"the heartbeat cannot be written: {error}") from error

    def read(self) -> Heartbeat | None:
        """The last one; None when there is none. Raises: HomeError, BucketRefused, BucketDown."""
        if not self.address:
            return None
        if self.address.startswith("s3://"):
            data = self.open_s3().get(parse_place(self.address), _LIMIT_BYTES)
            return to_heartbeat(data or b"")
        try:
            with Path(self.address).open("rb") as file:
                return to_heartbeat(file.read(_LIMIT_BYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"the heartbeat cannot be read: {error}") from error


def watched(
    heartbeat: Heartbeat | None,
    names: Iterable[str],
    identity: Callable[[str], str],
    now_s: float,
) -> frozenset[str]:
    """Those of these accounts that a living reaper searches.

    Args:
        identity: of an account as the key at hand tells it; asked only where a reaper names it.
    """
    if heartbeat is None:
        return frozenset()
    told = [name for name in names if name in heartbeat.accounts]
    return frozenset(name for name in told if heartbeat.watches(name, identity(name), now_s))
