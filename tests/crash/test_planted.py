"""The suite is worth something only if it sees the defects that it is there for: seven, planted.

Each test plants one defect, as a broken part that is handed in, and tells a story in
which it shows; the same story with the same death passes without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from orchestrator.agent.protocol import GUARD_FILE, encode
from orchestrator.errors import MachineNotFound, NoCapacity, OutcomeUnknown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.cargo import RunCargo
from orchestrator.lifecycle.world import Opened, World
from orchestrator.providers.base import Machine, MachineRequest, Provider
from orchestrator.providers.lambda_cloud import Lambda
from orchestrator.providers.lambda_cloud import mapping as lambda_mapping
from orchestrator.providers.runpod import RunPod, mapping
from orchestrator.providers.wrappers import Wrapper
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from tests.crash.clouds import Client
from tests.crash.elsewhere import ELSEWHERE
from tests.crash.exhaust import Theatre
from tests.crash.life import Life
from tests.crash.mortal import MortalShell
from tests.crash.stage import Process, Violation
from tests.crash.stories import STORIES


class Tale:
    """One story, told by sound processes and by broken ones."""

    def __init__(self, folder: Path, story: str, broken: type[Process]) -> None:
        self._theatres: list[Theatre] = []
        for kind in (Process, broken):
            (own := folder / kind.__name__).mkdir()
            self._theatres.append(Theatre((STORIES | ELSEWHERE)[story], own, kind))

    def shows(self, violation: str, *, dies: str = "") -> None:
        """Dying at the first point of that name, the broken process is caught, the other not."""
        sound, broken = self._theatres
        kills = [sound.perform()[0].index(dies)] if dies else []
        sound.perform(*kills)
        with pytest.raises(Violation, match=violation):
            broken.perform(*kills)


class Eager(World):
    """(a) It takes every intent for its own."""

    def take_intent(self, lease: Lease) -> float | None:
        return 0.0


class CreatesAgain(Process):
    world_type = Eager


@pytest.mark.parametrize("story", ["plain", "vast: plain"])
def test_a_restart_that_calls_create_again_is_caught(tmp_path: Path, story: str) -> None:
    tale = Tale(tmp_path, story, CreatesAgain)

    tale.shows("2 creates were sent under gl1-", dies="after create")


class Hopeful(Wrapper):
    """(b) It takes a lost reply for no capacity."""

    def create_machine(self, request: MachineRequest) -> Machine:
        try:
            return self._inner.create_machine(request)
        except OutcomeUnknown as error:
            raise NoCapacity("no answer, so nothing was rented") from error


class TriesTheNext(Process):
    def make_provider(self, name: str) -> Provider:
        return Hopeful(super().make_provider(name))


@pytest.mark.parametrize(
    ("story", "violation"),
    [
        ("reply lost", "lives under gl1-.*, and the store says tombstone"),
        ("5xx after create", "lives under gl1-.*, and the store says tombstone"),
        ("reply lost, list lags", "a create was sent under gl1-.* while .* lived under gl1-"),
    ],
)
def test_a_lost_reply_that_counts_as_no_capacity_is_caught(
    tmp_path: Path, story: str, violation: str
) -> None:
    Tale(tmp_path, story, TriesTheNext).shows(violation)


class Trusting(Wrapper):
    """(c) It takes a machine for gone once its delete was accepted."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self._deleted: set[str] = set()

    def delete_machine(self, machine_id: str) -> None:
        self._inner.delete_machine(machine_id)
        self._deleted.add(machine_id)

    def get_machine(self, machine_id: str) -> Machine:
        if machine_id in self._deleted:
            raise MachineNotFound("it was told to go")
        return self._inner.get_machine(machine_id)

    def list_machines(self) -> list[Machine]:
        return [one for one in self._inner.list_machines() if one.id not in self._deleted]


class BelievesTheDelete(Process):
    def make_provider(self, name: str) -> Provider:
        return Trusting(super().make_provider(name))


def test_a_delete_that_counts_as_gone_once_accepted_is_caught(tmp_path: Path) -> None:
    tale = Tale(tmp_path, "delete lies", BelievesTheDelete)

    tale.shows("still lives and bills")


class FirstPage(RunPod):
    """(d) It takes the first page for the list."""

    def _pages(
        self, path: str, query: dict[str, str], key: str, *, holes: bool = False
    ) -> list[dict[str, object]]:
        return mapping.to_page(self._read(path, query).data(), key)[0]


class FirstRows(Lambda):
    """… or the rows before the first token."""

    def _rows(self, path: str, *, is_our_turn: bool = False) -> list[dict[str, Any]]:
        answer = self._good(self._send("GET", path))
        return lambda_mapping.to_rows(answer.data(), path.strip("/"))[0]


class ReadsHalf(Process):
    client_types: ClassVar[dict[str, Callable[..., Client]]] = {
        "runpod": FirstPage,
        "lambda": FirstRows,
    }


@pytest.mark.parametrize("story", ["crowded account", "lambda: crowded account"])
def test_a_half_list_that_counts_as_absence_is_caught(tmp_path: Path, story: str) -> None:
    tale = Tale(tmp_path, story, ReadsHalf)

    tale.shows("a create was sent under gl1-.* while .* lived under gl1-")


class Unguarded(RunCargo):
    """(e) It rents without the boot guard…"""

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        return replace(super().request(run, lease), start_command="")


@dataclass
class Credulous(MortalShell):
    """… and reads of every machine that its guard is armed."""

    label: str

    def read(self, path: str, offset: int, limit: int) -> bytes:
        if path == GUARD_FILE:
            return encode({"label": self.label, "credential": True, "reachable": True})
        return super().read(path, offset, limit)


class ArmsNothing(Process):
    cargo_type = Unguarded

    def open_shell(self, run: Run, lease: Lease) -> Opened:
        opened = super().open_shell(run, lease)
        return replace(opened, shell=Credulous(opened.shell, Life(), lease.label))


@pytest.mark.parametrize("story", ["asleep for 8 h", "vast: asleep for 8 h"])
def test_a_guard_that_is_not_armed_is_caught(tmp_path: Path, story: str) -> None:
    tale = Tale(tmp_path, story, ArmsNothing)

    tale.shows("outlived its deadline by", dies="after save setting_up→running")


class Gullible(Accounts):
    """(f) It takes what any account says of a machine for the word of the one that rented it."""

    def proves_absence(self, recorded: str, identity: str) -> bool:
        return True

    def renter(self, recorded: str, name: str) -> tuple[Provider, str]:
        return self.provider(name), recorded


class BelievesAnyKey(Process):
    accounts_type = Gullible


@pytest.mark.parametrize("provider", ["runpod", "vast", "lambda", "paperspace"])
def test_another_accounts_404_that_counts_as_gone_is_caught(tmp_path: Path, provider: str) -> None:
    tale = Tale(tmp_path, f"{provider}: another account's key", BelievesAnyKey)

    tale.shows("lives under gl1-.*, and the store says", dies="after save running→collecting")


class Shortsighted(Wrapper):
    """(g) It reads whose machine it is without looking at the home in its label."""

    def list_machines(self) -> list[Machine]:
        found = self._inner.list_machines()
        return [replace(one, label=(one.label or "").replace("beside", "homeid")) for one in found]


class TakesAnothersMachine(Process):
    def make_provider(self, name: str) -> Provider:
        return Shortsighted(super().make_provider(name))


def test_a_home_that_ends_another_homes_machine_is_caught(tmp_path: Path) -> None:
    tale = Tale(tmp_path, "runpod: two homes", TakesAnothersMachine)

    tale.shows("was asked to end, and it is somebody else's")
