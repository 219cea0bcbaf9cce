from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import BadCredentials, MissingCredentials
from orchestrator.lifecycle.accounts import Accounts, Snapshot
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Capabilities,
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
)
from orchestrator.spec.resources import Need


def machine(machine_id: str, label: str | None = "label-0", *, created_at_s: float = 1) -> Machine:
    status = MachineStatus.RUNNING
    return Machine(machine_id, label, status, "RTX 4090", 1, Decimal("0.6"), created_at_s)


class Listing:
    """A provider of which only the list and the account are asked."""

    name = "cloud"
    capabilities = Capabilities(guard=GuardWay.NONE)

    def __init__(self, *, who: str = "user:u1,key:aa") -> None:
        self.who = who
        self.machines = [machine("m1")]
        self.lists = 0
        self.asked = Event()
        self.answer = Event()
        self.answer.set()
        self.refused = False

    def list_machines(self) -> list[Machine]:
        self.lists += 1
        self.asked.set()
        assert self.answer.wait(10)
        if self.refused:
            raise BadCredentials("401")
        return list(self.machines)

    def identity(self) -> str:
        return self.who

    def balance_usd(self) -> Decimal | None:
        return None

    def list_offers(self, need: Need) -> list[Offer]:
        raise NotImplementedError

    def create_machine(self, request: MachineRequest) -> Machine:
        raise NotImplementedError

    def get_machine(self, machine_id: str) -> Machine:
        raise NotImplementedError

    def delete_machine(self, machine_id: str) -> None:
        raise NotImplementedError


def test_two_threads_that_want_a_view_share_one_list() -> None:
    cloud, clock = Listing(), FakeClock()
    cloud.answer.clear()
    accounts = Accounts(lambda _: cloud, clock)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(accounts.snapshot, "cloud", max_age_s=5)
        assert cloud.asked.wait(10)
        second = threads.submit(accounts.snapshot, "cloud", max_age_s=5)
        cloud.answer.set()

        assert first.result(10) is second.result(10)
    assert cloud.lists == 1


def test_a_list_is_asked_for_again_once_it_is_too_old() -> None:
    cloud, clock = Listing(), FakeClock()
    accounts = Accounts(lambda _: cloud, clock)
    old = accounts.snapshot("cloud", max_age_s=5)

    clock.advance(5)
    assert accounts.snapshot("cloud", max_age_s=5) is old
    clock.advance(1)
    assert accounts.snapshot("cloud", max_age_s=5) is not old


def test_a_view_made_before_the_question_is_no_fresh_one() -> None:
    cloud, clock = Listing(), FakeClock()
    accounts = Accounts(lambda _: cloud, clock)
    accounts.snapshot("cloud")

    clock.advance(0.1)
    cloud.machines.clear()

    assert accounts.snapshot("cloud").machines == ()


def test_time_asleep_ages_a_view() -> None:
    cloud, clock = Listing(), FakeClock()
    accounts = Accounts(lambda _: cloud, clock)
    accounts.snapshot("cloud")

    clock.advance(3600, asleep=True)
    accounts.snapshot("cloud", max_age_s=60)

    assert cloud.lists == 2


def test_watchers_see_each_new_view_once() -> None:
    accounts = Accounts(lambda _: Listing(), FakeClock())
    seen: list[tuple[str, Snapshot]] = []
    accounts.watchers.append(lambda name, view: seen.append((name, view)))

    view = accounts.snapshot("cloud", max_age_s=5)
    accounts.snapshot("cloud", max_age_s=5)

    assert seen == [("cloud", view)]


def test_a_refused_key_is_dropped_and_the_next_one_is_used() -> None:
    refused, good = Listing(), Listing()
    refused.refused = True
    built = iter([refused, good])
    accounts = Accounts(lambda _: next(built), FakeClock())

    with pytest.raises(BadCredentials):
        accounts.snapshot("cloud")

    assert accounts.snapshot("cloud").machines == (machine("m1"),)
    assert good.lists == 1


def test_a_key_that_is_refused_twice_over_loses_one_turn() -> None:
    refused: list[str] = []
    accounts = Accounts(lambda _: Listing(), FakeClock(), refused.append)
    accounts.provider("cloud")

    accounts.forget("cloud")
    accounts.forget("cloud")

    assert refused == ["cloud"]


def test_a_key_that_came_meanwhile_keeps_its_turn_when_the_one_before_it_is_refused() -> None:
    refused: list[str] = []
    accounts = Accounts(lambda _: Listing(), FakeClock(), refused.append)
    old = accounts.provider("cloud")
    accounts.forget("cloud", old)
    new = accounts.provider("cloud")

    accounts.forget("cloud", old)

    assert accounts.provider("cloud") is new
    assert refused == ["cloud"]


def test_a_provider_is_built_when_first_used_and_once() -> None:
    built: list[str] = []

    def build(name: str) -> Listing:
        built.append(name)
        return Listing()

    accounts = Accounts(build, FakeClock())

    assert accounts.provider("cloud") is accounts.provider("cloud")
    assert built == ["cloud"]


def test_machines_under_a_label_come_the_oldest_first() -> None:
    machines = (machine("m3", created_at_s=9), machine("m2"), machine("m1"), machine("x", None))
    view = Snapshot(machines, 0.0, "")

    assert [one.id for one in view.under("label-0")] == ["m1", "m2", "m3"]
    assert view.by_id("x") == machines[3]
    assert view.by_id("gone") is view.by_id(None) is None


@pytest.mark.parametrize(
    ("recorded", "proves"),
    [("", True), ("user:u1", True), ("key:aa", True), ("user:u2", False), ("key:bb", False)],
)
def test_a_miss_proves_something_only_for_the_account_that_rented(
    recorded: str, proves: bool
) -> None:
    accounts = Accounts(lambda _: Listing(), FakeClock())

    assert accounts.proves_absence(recorded, "user:u1,key:aa") is proves


@pytest.mark.parametrize("recorded", ["", "user:u1", "key:bb"])
def test_an_account_that_may_be_the_same_is_let_through(recorded: str) -> None:
    accounts = Accounts(lambda _: Listing(), FakeClock())

    assert accounts.renter(recorded, "cloud")[1] == "user:u1,key:aa"


def test_surely_another_account_is_refused() -> None:
    accounts = Accounts(lambda _: Listing(), FakeClock())

    with pytest.raises(MissingCredentials, match="another account") as caught:
        accounts.renter("user:u2,key:aa", "cloud")

    assert "gpulease login cloud" in caught.value.hint


def test_a_list_and_its_identity_are_of_one_key_whoever_exchanges_it_meanwhile() -> None:
    first, second = Listing(), Listing(who="user:u2,key:bb")
    second.machines = []
    built = iter([first, second])
    accounts = Accounts(lambda _: next(built), FakeClock())
    first.answer.clear()

    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(accounts.snapshot, "cloud")
        assert first.asked.wait(10)
        accounts.forget("cloud")
        assert accounts.identity("cloud") == "user:u2,key:bb"
        first.answer.set()

    assert taken.result(10).identity == "user:u1,key:aa"
    assert taken.result(10).machines == (machine("m1"),)
