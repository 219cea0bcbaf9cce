from __future__ import annotations

from orchestrator.clock import FakeClock
from orchestrator.errors import ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.deadlines import PAST_DEADLINE_S
from orchestrator.lifecycle.leftovers import Sweeper, past_deadline, removable
from orchestrator.lifecycle.world import Again
from orchestrator.providers.base import Leftover, Leftovers
from orchestrator.runs.label import Label
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud, label
from tests.runs.samples import NOW_S, lease, run

ENDED = lease(label(), state=LeaseState.CLOSED, machine_id="m1")
HELD = lease(label(), state=LeaseState.HELD, machine_id="m1")


class KeyedCloud(SmallCloud, Leftovers):
    """A small cloud that keeps SSH keys."""

    def __init__(self, *labels: str) -> None:
        super().__init__()
        self.keys = {name: Leftover("ssh key", name, name) for name in labels}

    def list_leftovers(self) -> list[Leftover]:
        self._fail()
        return list(self.keys.values())

    def delete_leftover(self, leftover: Leftover) -> None:
        self._fail()
        self.keys.pop(leftover.id, None)


def sweeper(cloud: SmallCloud, journal: Journal, *leases: Lease) -> Sweeper:
    if leases:
        state = State.RUNNING if any(one.is_open for one in leases) else State.ENDED
        journal.add(run(state=state, leases=leases), [], lambda _: None, 0.0)
    clock = FakeClock(NOW_S)
    return Sweeper(Accounts(lambda _: cloud, clock), journal, clock, "homeid")


def keys(*labels: str) -> list[Leftover]:
    return [Leftover("ssh key", name, name) for name in labels]


def test_a_key_is_removed_once_no_machine_of_its_run_is_open(journal: Journal) -> None:
    cloud = KeyedCloud(label(), label("others"))

    again = sweeper(cloud, journal, ENDED).sweep()

    assert set(cloud.keys) == {label("others")}
    assert again == Again(60.0, stays=False)


def test_the_key_of_an_open_run_stays_whatever_label_its_machine_has_now(journal: Journal) -> None:
    cloud = KeyedCloud(label(deadline_s=NOW_S + 60))

    sweeper(cloud, journal, HELD).sweep()

    assert len(cloud.keys) == 1
    intended = lease(label(), state=LeaseState.INTENDED)
    assert removable(cloud.keys.values(), [intended], "homeid") == []


def test_a_key_of_this_home_that_the_store_does_not_know_is_removed(journal: Journal) -> None:
    unknown = str(Label("homeid", "unknown1", 0, int(NOW_S), int(NOW_S)))
    cloud = KeyedCloud(unknown)

    sweeper(cloud, journal, ENDED).sweep()

    assert cloud.keys == {}


def test_an_account_that_does_not_answer_is_asked_again_and_not_for_ever(journal: Journal) -> None:
    cloud = KeyedCloud(label())
    cloud.fault = ProviderDown("down")
    made = sweeper(cloud, journal, ENDED)

    assert [made.sweep().stays for _ in range(10)] == [True] * 9 + [False]
    assert len(cloud.keys) == 1


def test_the_next_driver_removes_what_a_killed_one_left(journal: Journal) -> None:
    cloud = KeyedCloud(label())
    cloud.fault = ProviderDown("down")
    sweeper(cloud, journal, ENDED).sweep()
    cloud.fault = None

    sweeper(cloud, journal).sweep()

    assert cloud.keys == {}


def test_a_provider_without_leftovers_is_not_asked(journal: Journal) -> None:
    cloud = SmallCloud()
    cloud.fault = ProviderDown("nobody is to ask")

    assert sweeper(cloud, journal, ENDED).sweep() == Again(60.0, stays=False)


def test_past_the_deadline_any_homes_key_goes_and_never_a_strangers() -> None:
    late_s = NOW_S + 7200 + PAST_DEADLINE_S
    things = keys(label("others"), "my laptop")

    assert past_deadline(things, late_s) == []
    assert [one.label for one in past_deadline(things, late_s + 1)] == [label("others")]


def test_reap_names_what_it_would_remove_and_removes_it(journal: Journal) -> None:
    cloud = KeyedCloud(label(), label("others"))
    made = sweeper(cloud, journal, ENDED)
    said: list[str] = []

    found, failures = made.look(["lambda"], past=False)
    for one in found:
        made.remove(one, said.append)

    assert failures == []
    assert [one.words for one in found] == [f"lambda: the ssh key {label()}"]
    assert said == [f"lambda: the ssh key {label()} is removed"]
    cloud.fault = ProviderDown("lambda is down")
    made.remove(found[0], said.append)
    assert said[-1].endswith("stays: lambda is down")
    assert made.look(["lambda"], past=False) == ([], ["lambda: lambda is down"])
