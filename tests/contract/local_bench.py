"""This computer under the contract suite: its simulator is a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from orchestrator.clock import FakeClock
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Machine, MachineRequest, Provider
from orchestrator.providers.local import Local
from orchestrator.spec.resources import Need


class LocalBench:
    """A home without a GPU. No keys, no network: what breaks is the disk that has the home."""

    need = Need(allow_cpu=True)
    # No answer of a call in this process can be lost, or come by halves.
    faults = frozenset({"unreached"})
    secret = ""
    asks: Mapping[str, str] = {}

    def __init__(self, home: Path) -> None:
        self._home = home
        self._clock = FakeClock()
        self._shaken = _Shaken(home, clock=self._clock, nvidia_smi=str(home / "no-nvidia-smi"))
        self.provider: Provider = self._shaken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def with_key(self, which: str) -> Provider:
        if which != "same":
            raise NotImplementedError("there are no keys on this computer")
        return Local(self._home, clock=self._clock, nvidia_smi=str(self._home / "no-nvidia-smi"))

    def break_next(self, fault: str, **options: float | int | str) -> None:
        assert fault in self.faults, fault
        self._shaken.unreached = str(options["operation"])

    def rented(self) -> list[str]:
        return sorted(path.name for path in self._home.glob("gpulease/[!.]*"))

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)


class _Shaken(Local):
    """This computer, whose folder of machines cannot be reached during one call."""

    unreached = ""  # the call, as a simulator names it

    def list_offers(self, need: Need) -> list[Offer]:
        with self._moment("catalog"):
            return super().list_offers(need)

    def create_machine(self, request: MachineRequest) -> Machine:
        with self._moment("create"):
            return super().create_machine(request)

    def get_machine(self, machine_id: str) -> Machine:
        with self._moment("get"):
            return super().get_machine(machine_id)

    def list_machines(self) -> list[Machine]:
        with self._moment("list"):
            return super().list_machines()

    def delete_machine(self, machine_id: str) -> None:
        with self._moment("delete"):
            super().delete_machine(machine_id)

    @contextmanager
    def _moment(self, operation: str) -> Iterator[None]:
        """A link to itself in the folder's place: to read through it fails for root too."""
        if operation != self.unreached:
            yield
            return
        self.unreached = ""
        away = self._root.with_name("away")
        self._root.mkdir(exist_ok=True)
        self._root.rename(away)
        self._root.symlink_to(self._root)
        try:
            yield
        finally:
            self._root.unlink()
            away.rename(self._root)
