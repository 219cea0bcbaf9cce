from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from threading import Event

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import MissingCredentials, ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.deadlines import PAST_DEADLINE_S, REAPED_S
from orchestrator.lifecycle.reaper import Reaper, Whose, classify
from orchestrator.lifecycle.world import Again
from orchestrator.runs.lease import Lease
from orchestrator.runs.states import LeaseState, State
from orchestrator.store.journal import Journal
from tests.lifecycle.clouds import SmallCloud, label, machine
from tests.runs.samples import NOW_S, lease, run


class Stubborn(SmallCloud):
    """Its machine `m1` does not go."""

    def delete_machine(self, machine_id: str) -> None:
        if machine_id == "m1":
            self.deleted.append(machine_id)
            raise ProviderDown("500")
        super().delete_machine(machine_id)


def reaper(cloud: SmallCloud, journal: Journal) -> Reaper:
    clock = FakeClock(NOW_S)
    return Reaper(Accounts(lambda _: cloud, clock), journal, clock, "homeid")


def add(journal: Journal, *leases: Lease, state: State = State.ENDED) -> None:
    journal.add(run(state=state, leases=leases), [], lambda _: None, 0.0)


@pytest.mark.parametrize(
    ("leases", "whose"),
    [
        ([lease(label(), state=LeaseState.HELD, machine_id="m1")], Whose.OURS),
        ([lease(label(), state=LeaseState.INTENDED)], Whose.OURS),
        ([lease(label(), state=LeaseState.HELD, machine_id="other")], Whose.ORPHAN),
        ([lease(label(), state=LeaseState.CLOSED, machine_id="m1")], Whose.ORPHAN),
        ([lease(label(), state=LeaseState.TOMBSTONE)], Whose.ORPHAN),
        ([], Whose.ORPHAN),
    ],
)
def test_under_our_label_only_an_open_lease_makes_a_machine_ours(
    leases: list[Lease], whose: Whose
) -> None:
    assert classify("runpod", machine(label=label()), leases, "homeid").whose is whose


def test_another_home_and_a_stranger_are_told_apart() -> None:
    other = classify("runpod", machine(label=label("others")), [], "homeid")
    stranger = classify("runpod", machine(label="my-notebook"), [], "homeid")

    assert (other.whose, stranger.whose) == (Whose.ELSEWHERE, Whose.FOREIGN)


@pytest.mark.parametrize("name", [None, "my-notebook", "gl1-nearly"])
@pytest.mark.parametrize("past_deadline", [True, False])
def test_a_foreign_machine_is_never_returned(name: str | None, past_deadline: bool) -> None:
    found = classify("runpod", machine(label=name), [], "homeid")

    assert not found.may_return(NOW_S + 1e9, past_deadline=past_deadline)


def test_another_homes_machine_is_returned_only_15_minutes_after_its_deadline() -> None:
    found = classify("runpod", machine(label=label("others", deadline_s=NOW_S)), [], "homeid")

    assert PAST_DEADLINE_S == 15 * 60
    assert not found.may_return(NOW_S + 900, past_deadline=True)
    assert found.may_return(NOW_S + 901, past_deadline=True)
    assert not found.may_return(NOW_S + 901, past_deadline=False)


def test_results_on_a_computer_that_costs_nothing_are_waited_for_a_week(journal: Journal) -> None:
    cloud = SmallCloud([machine(label=label("others", deadline_s=NOW_S))])
    cloud.capabilities = replace(cloud.capabilities, bills=False)

    ((found,), _, _) = reaper(cloud, journal).look(["ssh_host:tower"])

    week_s = 7 * 86_400
    assert not found.may_return(NOW_S + week_s, past_deadline=True)
    assert found.may_return(NOW_S + week_s + 1, past_deadline=True)


@pytest.mark.parametrize(
    ("state", "goes"), [(LeaseState.RETURNING, True), (LeaseState.HELD, False)]
)
def test_of_an_open_run_only_what_it_let_go_of_is_returned(state: LeaseState, goes: bool) -> None:
    leases = [lease(label(), state=state, machine_id="m1")]

    found = classify("runpod", machine(label=label()), leases, "homeid")

    assert found.whose is Whose.OURS
    assert found.may_return(NOW_S, past_deadline=False) is goes


def test_an_account_that_fails_is_told_and_does_not_end_the_look(journal: Journal) -> None:
    down, up = SmallCloud(), SmallCloud([machine(label=label())])
    down.fault = ProviderDown("no answer")
    clouds = {"down": down, "up": up}
    looking = replace(
        reaper(up, journal), accounts=Accounts(lambda name: clouds[name], FakeClock())
    )

    found, failures, answered = looking.look(["down", "up"])

    assert [(one.provider, one.whose) for one in found] == [("up", Whose.ORPHAN)]
    assert failures == ["down: no answer"]
    assert list(answered) == ["up"]


def test_a_machine_is_ended_until_the_provider_says_gone(journal: Journal) -> None:
    cloud = SmallCloud([machine(label=label())])
    ending = reaper(cloud, journal)
    told: list[str] = []

    left = ending.end(ending.look(["runpod"])[0], told.append)

    assert left == [] and cloud.machines == {}
    assert told == ["runpod: asked to end m1", "runpod: m1 is gone"]


def test_silence_of_the_provider_is_no_proof(journal: Journal) -> None:
    cloud = SmallCloud([machine(label=label())])
    ending = reaper(cloud, journal)
    found = ending.look(["runpod"])[0][0]
    cloud.fault = ProviderDown("no answer")

    assert ending.end([found], lambda _: None) == [found]


def test_a_machine_that_refuses_to_end_keeps_no_other_billing(journal: Journal) -> None:
    cloud = Stubborn([machine("m1", label()), machine("m2", label())])
    ending = reaper(cloud, journal)
    began_s = ending.clock.now_s()
    found = ending.look(["runpod"])[0]

    left = ending.end(found, lambda _: None)

    assert [one.machine.id for one in left] == ["m1"]
    assert cloud.deleted[:2] == ["m1", "m2"]
    assert ending.clock.now_s() - began_s <= REAPED_S - PAST_DEADLINE_S


def test_an_account_that_does_not_answer_any_more_keeps_no_other_billing(journal: Journal) -> None:
    down, up = SmallCloud([machine("m1", label())]), SmallCloud([machine("m2", label())])
    clouds = {"down": down, "up": up}
    clock = FakeClock(NOW_S)

    def build(name: str) -> SmallCloud:
        if name not in clouds:
            raise MissingCredentials(f"no key for {name}")
        return clouds[name]

    ending = Reaper(Accounts(build, clock), journal, clock, "homeid")
    found = ending.look(["down", "up"])[0]
    del clouds["down"]
    ending.accounts.forget("down")

    left = ending.end(found, lambda _: None)

    assert [one.machine.id for one in left] == ["m1"]
    assert up.machines == {}


def test_a_machine_under_a_tombstone_goes_on_its_way_back(journal: Journal) -> None:
    add(journal, lease(label(), state=LeaseState.TOMBSTONE, sent_s=NOW_S))
    cloud = SmallCloud([machine(label=label())])
    passing = reaper(cloud, journal)

    passing.return_known("runpod", passing.accounts.snapshot("runpod"))

    after = journal.run("runid123")
    assert [(one.state, one.machine_id) for one in after.leases] == [(LeaseState.RETURNING, "m1")]
    assert after.is_open and "abandoned label" in after.notes[0]
    assert after.upper_usd(NOW_S + 3600) == Decimal("0.60")


def test_an_abandoned_label_is_watched_for_an_hour(journal: Journal) -> None:
    lost = lease(label(), state=LeaseState.TOMBSTONE, sent_s=NOW_S, watch_until_s=NOW_S + 3600)
    add(journal, lost)
    cloud = SmallCloud()
    watching = reaper(cloud, journal)
    assert watching.watch_abandoned() == Again(60.0, stays=True)
    cloud.fault = ProviderDown("no answer")
    assert watching.watch_abandoned() == Again(60.0, stays=True)
    cloud.fault = None

    cloud.machines["late"] = machine("late", label())
    watching.clock.wait(Event(), 60.0)
    watching.watch_abandoned()

    assert journal.run("runid123").leases[0].state is LeaseState.RETURNING
    watching.clock.wait(Event(), 3600.0)
    assert not watching.watch_abandoned().stays


@pytest.mark.parametrize("state", [LeaseState.CLOSED, LeaseState.HELD, LeaseState.RETURNING])
def test_a_second_machine_under_a_label_goes_back_and_counts(
    journal: Journal, state: LeaseState
) -> None:
    gone_s = NOW_S if state is LeaseState.CLOSED else None
    first = lease(label(), state=state, machine_id="m1", sent_s=NOW_S - 3600, gone_s=gone_s)
    add(journal, first, state=State.ENDED if gone_s else State.RUNNING)
    cloud = SmallCloud([machine("m1", label()), machine("m2", label())][1 if gone_s else 0 :])
    passing = reaper(cloud, journal)

    passing.return_known("runpod", passing.accounts.snapshot("runpod"))
    passing.return_known("runpod", passing.accounts.snapshot("runpod"))

    twin, known = journal.run("runid123").leases
    assert (twin.state, twin.machine_id, twin.label) == (LeaseState.RETURNING, "m2", label())
    assert known.machine_id == "m1" and known.state is state
    assert twin.upper_usd(NOW_S + 3600) == Decimal("0.61")


def test_a_machine_that_was_called_gone_and_lives_counts_from_then_on(journal: Journal) -> None:
    closed = lease(
        label(), state=LeaseState.CLOSED, machine_id="m1", sent_s=NOW_S - 7200, gone_s=NOW_S - 3600
    )
    add(journal, closed)
    cloud = SmallCloud([machine("m1", label())])
    passing = reaper(cloud, journal)

    passing.return_known("runpod", passing.accounts.snapshot("runpod"))

    run = journal.run("runid123")
    assert run.is_open and [one.state for one in run.returning] == [LeaseState.RETURNING]
    assert run.upper_usd(NOW_S) == Decimal("1.20")  # without a gap, and nothing twice


def test_a_list_that_is_behind_brings_back_nothing_that_is_proven_gone(journal: Journal) -> None:
    add(journal, lease(label(), state=LeaseState.CLOSED, machine_id="m1", gone_s=NOW_S))
    cloud = SmallCloud([machine("m1", label())])
    passing = reaper(cloud, journal)
    behind = passing.accounts.snapshot("runpod")
    cloud.machines.clear()

    passing.return_known("runpod", behind)

    assert not journal.run("runid123").is_open


def test_the_automatic_pass_leaves_everything_else_alone(journal: Journal) -> None:
    add(journal, lease(label(), state=LeaseState.HELD, machine_id="m1"), state=State.BOOTING)
    unknown = label(deadline_s=NOW_S + 60)
    cloud = SmallCloud(
        [
            machine("m1", label()),
            machine("m2", unknown),
            machine("m3", label("others")),
            machine("m4", "my-notebook"),
        ]
    )
    passing = reaper(cloud, journal)

    passing.return_known("runpod", passing.accounts.snapshot("runpod"))

    assert cloud.deleted == []


def test_what_a_person_closed_without_a_proof_is_watched_and_goes_back(journal: Journal) -> None:
    closed = lease(
        label(),
        state=LeaseState.CLOSED,
        machine_id="m1",
        returned_by="user",
        watch_until_s=NOW_S + 3600,
    )
    add(journal, closed)
    cloud = SmallCloud([machine("m1", label())])

    assert reaper(cloud, journal).watch_abandoned().stays

    assert [one.machine_id for one in journal.run("runid123").returning] == ["m1"]


def test_a_search_of_every_account_returns_what_another_one_than_the_runs_forgot(
    journal: Journal,
) -> None:
    add(journal, lease(label(), provider="other", state=LeaseState.TOMBSTONE))
    clouds = {
        "runpod": SmallCloud([machine("m1", "my-notebook")]),
        "down": SmallCloud(),
        "other": SmallCloud([machine("m2", label()), machine("m3", label(deadline_s=NOW_S + 60))]),
    }
    clouds["down"].fault = ProviderDown("no answer")
    clock = FakeClock(NOW_S)
    accounts = Accounts(lambda name: clouds[name], clock)
    searching = Reaper(accounts, journal, clock, "homeid")
    accounts.watchers.append(searching.return_known)

    again = searching.search(lambda: list(clouds))

    assert [one.machine_id for one in journal.run("runid123").returning] == ["m2"]
    assert not again.stays
    assert [one.deleted for one in clouds.values()] == [[], [], []]  # by the run's own steps


def test_a_label_that_is_looked_for_once_keeps_no_driver(journal: Journal) -> None:
    add(journal, lease(label(), state=LeaseState.TOMBSTONE, watch_until_s=NOW_S + 60))
    cloud = SmallCloud([machine("m1", label())])

    assert not reaper(cloud, journal).watch_abandoned().stays

    assert journal.run("runid123").leases[0].state is LeaseState.RETURNING


def test_a_machine_whose_state_cannot_be_read_is_deleted_and_never_called_gone(
    journal: Journal,
) -> None:
    cloud = SmallCloud([machine("m1", label())])
    ending = reaper(cloud, journal)
    found = classify("runpod", cloud.machines["m1"], [], "homeid")
    cloud.fault = ProviderDown("500")

    assert ending.end([found], lambda text: None) == [found]

    assert cloud.deleted[0] == "m1"
