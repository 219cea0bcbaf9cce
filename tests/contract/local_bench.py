"""This computer under the contract suite: its simulator is a temporary folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.clock import FakeClock
from orchestrator.providers.base import Provider
from orchestrator.providers.local import Local
from orchestrator.spec.resources import Need


class LocalBench:
    """A home without a GPU. No keys, no network: nothing to break."""

    need = Need(allow_cpu=True)
    faults: frozenset[str] = frozenset()
    secret = ""
    asks: Mapping[str, str] = {}

    def __init__(self, home: Path) -> None:
        self._home = home
        self._clock = FakeClock()
        self.provider = self.with_key("same")

    def with_key(self, which: str) -> Provider:
        if which != "same":
            raise NotImplementedError("there are no keys on this computer")
        return Local(self._home, clock=self._clock, nvidia_smi=str(self._home / "no-nvidia-smi"))

    def break_next(self, fault: str, **options: float | int | str) -> None:
        raise NotImplementedError(fault)

    def rented(self) -> list[str]:
        return sorted(path.name for path in self._home.glob("gpulease/[!.]*"))

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)
