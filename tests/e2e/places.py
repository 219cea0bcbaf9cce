"""Where a story's machines live: on a simulated cloud, or on a workstation of one's own.

A test that is marked `everywhere` is told on both; with `own_machine_at_length` the workstation's
turn is left to those who have time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from infra.simcloud.timing import OffsetClock
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud, hurrying
from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation

everywhere = pytest.mark.parametrize("place", ["runpod", "ssh_host"], indirect=True)
own_machine_at_length = pytest.mark.parametrize(
    "place", ["runpod", pytest.param("ssh_host", marks=pytest.mark.slow)], indirect=True
)


class Place(Protocol):
    """What a story asks of it. Time goes by for the person, their driver and the machines."""

    provider: str
    disk_size: str
    """What a full disk of it is told to be of."""
    what_is_lost: str
    """What a receipt misses of a machine that has been gone, or emptied, since it worked."""
    on_gpu: tuple[str, ...]
    """Options of a submit that nothing but its GPU will do for."""

    @property
    def env(self) -> Mapping[str, str]:
        """What leads a person's commands there."""

    def lets_in(self, person: Person) -> None:
        """Whatever else a person needs before their first command."""

    def advance(self, seconds: float) -> None: ...

    def hurrying(self, step_s: float = 5.0) -> AbstractContextManager[None]: ...

    def says_go(self, run_id: str) -> None:
        """Programs that wait for a word (jobs.WAITS) go on."""

    def is_taken(self) -> None:
        """Somebody else has every GPU of it."""

    def is_free_again(self) -> None: ...

    def loses_touch(self, person: Person) -> None:
        """Nobody reaches the person's machine any more; it goes on."""

    def is_found_again(self) -> None:
        """It is reached once more, where it cannot be given back without that."""

    def machines(self, person: Person) -> list[str]:
        """The ids of a person's machines that there are now."""

    def has_all_back(
        self, receipt: dict[str, Any], person: Person, *, machines: int = 1, stray: str = ""
    ) -> None:
        """Check the receipt of a person's only run against what the place itself knows.

        Args:
            stray: a file that the program put outside of its machine's folder.
        """


class RentedPlace:
    """A simulated cloud."""

    provider = "runpod"
    disk_size = " of 45 GiB"
    what_is_lost = "everything after the last pull: the machine is gone"
    on_gpu: tuple[str, ...] = ("--set", "gpu.name=L4")  # and no driver of it: `allow_cpu` stays

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.env: Mapping[str, str] = cloud.env
        self.advance: Callable[[float], None] = cloud.advance
        self.hurrying = cloud.hurrying
        self.says_go = cloud.says_go
        self.is_free_again: Callable[[], None] = cloud.clear_faults

    def lets_in(self, person: Person) -> None:
        """The keys in the environment are all."""

    def is_taken(self) -> None:
        self._cloud.fault("no_capacity", times=None)

    def loses_touch(self, person: Person) -> None:
        (machine,) = self._cloud.living(person.home_id)
        self._cloud.machine_fault(machine["id"], "network_cut")

    def is_found_again(self) -> None:
        """Its provider takes it back all the same."""

    def machines(self, person: Person) -> list[str]:
        return [one["id"] for one in self._cloud.living(person.home_id)]

    def has_all_back(
        self, receipt: dict[str, Any], person: Person, *, machines: int = 1, stray: str = ""
    ) -> None:
        books_agree(receipt, person, self._cloud, ended_by=["api"] * machines)


class OwnPlace:
    """A workstation, which costs nothing and is to be left as it was found."""

    provider = "ssh_host"
    disk_size = ""
    # A login makes the folder anew, and there is nothing in it.
    what_is_lost = "whatever the program gave back: the machine never listed it"
    on_gpu: tuple[str, ...] = ("--set", "gpu.name=L4", "--set", "gpu.allow_cpu=false")

    def __init__(self, tower: Workstation) -> None:
        assert tower.clock is not None, "its machines have a clock that can be moved"
        self._tower = tower
        self._before = tower.listing()
        self._clock_file = tower.clock
        self.env: Mapping[str, str] = {"GPULEASE_CLOCK": str(tower.clock)}
        self.advance = OffsetClock(tower.clock).advance

    def lets_in(self, person: Person) -> None:
        person.config.write_text(self._tower.config())

    def hurrying(self, step_s: float = 5.0) -> AbstractContextManager[None]:
        return hurrying(self.advance, step_s)

    def says_go(self, run_id: str) -> None:
        self._clock_file.with_name(run_id).touch()

    def is_taken(self) -> None:
        self._tower.has_gpus(9_000)

    def is_free_again(self) -> None:
        self._tower.has_gpus(0)

    def loses_touch(self, person: Person) -> None:
        self._tower.sshd.stop()

    def is_found_again(self) -> None:
        self._tower.sshd.start()

    def machines(self, person: Person) -> list[str]:
        return [path.name for path in self._tower.home.glob(f"gpulease/gl1-{person.home_id}-*")]

    def has_all_back(
        self, receipt: dict[str, Any], person: Person, *, machines: int = 1, stray: str = ""
    ) -> None:
        assert receipt["state"] == "ended"
        assert receipt["returned"]["proven"] is True
        assert len(receipt["machines"]) == machines
        assert all(one["returned"]["proven"] for one in receipt["machines"])
        assert (receipt["cost_usd"], receipt["spent_upper_usd"]) == ("0.00", "0.00")
        assert self.machines(person) == []
        assert self._tower.processes() == []
        if stray:
            (self._tower.home / stray).unlink()
            (self._tower.home / stray).parent.rmdir()
        assert self._tower.listing() == self._before
