from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from threading import Barrier

import pytest

from orchestrator.budget.ledger import Entry, EntryKind, Limits, Standing, check_limits
from orchestrator.errors import BudgetRefused, HomeError, StaleRun
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State, Wish
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, RUN_ID, lease, run


def committed(run_id: str, usd: str, *, at_s: float = NOW_S) -> Entry:
    return Entry(at_s, run_id, EntryKind.COMMITTED, Decimal(usd))


def willing(_: Standing) -> None:
    """Refuse nothing."""


def added(journal: Journal, one: Run) -> Run:
    journal.add(one, [], willing, 0)
    return journal.run(one.id)


def everything(journal: Journal) -> object:
    return journal.run(RUN_ID), journal.entries(), journal.events(RUN_ID), journal.leases()


def test_a_run_comes_back_as_it_was_written(journal: Journal) -> None:
    first = run(leases=(lease(),), metrics={"f1": 0.5, "best": "b"}, artifacts=(("a", 1, "0"),))

    assert added(journal, first) == first
    assert journal.runs() == [first]


def test_an_unknown_run_is_a_key_error(journal: Journal) -> None:
    with pytest.raises(KeyError, match="nobody"):
        journal.run("nobody")


def test_of_two_writers_with_one_version_the_second_writes_nothing(journal: Journal) -> None:
    read = added(journal, run(leases=(lease(),)))
    journal.save(read, read.move(State.RENTING, NOW_S), [], ["renting"], NOW_S)
    before = everything(journal)
    late = replace(read.with_lease(lease(why_ended="late")), notes=("late",))

    with pytest.raises(StaleRun, match="moved by another process"):
        journal.save(read, late, [committed(RUN_ID, "1")], ["late"], NOW_S)

    assert everything(journal) == before


def test_a_lease_that_moved_meanwhile_undoes_the_whole_write(journal: Journal) -> None:
    read = added(journal, run(leases=(lease(),)))
    journal.save(read, read.with_lease(lease(ssh_port=22)), [], [], NOW_S)
    before = everything(journal)
    half_known = replace(journal.run(RUN_ID), leases=read.leases)

    with pytest.raises(StaleRun, match="the lease label-0"):
        journal.save(half_known, half_known.with_lease(lease(ssh_port=23)), [], ["never"], NOW_S)

    assert everything(journal) == before


def test_a_key_that_another_run_has_is_refused_whole(journal: Journal) -> None:
    added(journal, run(leases=(lease(),)))

    with pytest.raises(StaleRun):
        journal.add(run("otherrun", leases=(lease(run_id="otherrun"),)), [], willing, 0)

    assert [one.id for one in journal.runs()] == [RUN_ID]


def test_a_write_says_what_now_stands(journal: Journal) -> None:
    read = added(journal, run())

    one = journal.save(read, read.with_lease(lease()), [], ["first"], NOW_S + 1)
    two = journal.save(one, one.with_lease(lease(ssh_port=22)), [], ["second"], NOW_S + 2)

    assert two == journal.run(RUN_ID)
    assert (two.version, two.leases[0].version) == (2, 1)
    assert journal.events(RUN_ID) == [(NOW_S + 1, "first"), (NOW_S + 2, "second")]


def test_an_open_runs_name_is_taken_until_it_is_over(journal: Journal) -> None:
    first = added(journal, run(name="nightly"))
    with pytest.raises(StaleRun, match="open under the name nightly"):
        journal.add(run("secondid", name="nightly"), [], willing, 0)

    journal.save(first, first.move(State.ENDED, NOW_S), [], [], NOW_S)

    added(journal, run("secondid", name="nightly", created_s=NOW_S + 1))
    assert journal.find_ids("nightly") == ["secondid", RUN_ID]


def test_a_refused_run_leaves_no_trace(journal: Journal) -> None:
    def refuse(_: Standing) -> None:
        raise BudgetRefused("no")

    with pytest.raises(BudgetRefused):
        journal.add(run(leases=(lease(),)), [committed(RUN_ID, "5")], refuse, 0)

    assert (journal.runs(), journal.entries(), journal.leases()) == ([], [], [])


def test_the_check_sees_this_months_money_and_every_commitment(journal: Journal) -> None:
    held = lease("a", state=LeaseState.HELD, sent_s=NOW_S)
    free = lease("b", state=LeaseState.HELD, bills=False)
    closed = lease("c", state=LeaseState.CLOSED)
    money = [
        committed(RUN_ID, "7", at_s=NOW_S - 99),
        Entry(NOW_S - 99, RUN_ID, EntryKind.ACCRUED, Decimal(50)),
        Entry(NOW_S + 1, RUN_ID, EntryKind.ACCRUED, Decimal(2)),
    ]
    journal.add(run(leases=(held, free, closed)), money, willing, 0)
    seen: list[Standing] = []

    journal.add(run("secondid"), [], seen.append, NOW_S)

    assert seen == [Standing(Decimal(2), Decimal(7), 1, Decimal("0.60"))]


@pytest.mark.parametrize("processes", [1, 2])
def test_of_two_that_race_for_the_months_last_dollars_one_gets_them(
    url: str, processes: int
) -> None:
    journals = [Journal(url) for _ in range(processes)]
    start = Barrier(2)

    def submit(number: int) -> bool:
        run_id = f"racer-{number}"

        def check(standing: Standing) -> None:
            check_limits(Limits(), standing, worst_usd=Decimal(60), usd_per_hour=Decimal(1))

        start.wait(10)
        try:
            journals[number % processes].add(run(run_id), [committed(run_id, "60")], check, 0)
        except BudgetRefused:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        won = list(threads.map(submit, range(2)))

    assert sorted(won) == [False, True]
    assert [entry.run_id for entry in journals[0].entries()] == [f"racer-{won.index(True)}"]
    for journal in journals:
        journal.close()


@pytest.mark.parametrize("wishes", list(permutations(Wish)))
def test_a_wish_is_never_weakened(journal: Journal, wishes: tuple[Wish, ...]) -> None:
    added(journal, run())

    for wish in wishes:
        journal.wish(RUN_ID, wish)

    assert journal.run(RUN_ID).wish is Wish.CANCEL_NOW


def test_a_wish_waits_for_no_step_and_no_step_undoes_it(journal: Journal) -> None:
    read = added(journal, run())
    journal.wish(RUN_ID, Wish.CANCEL)

    saved = journal.save(read, read.move(State.RENTING, NOW_S), [], [], NOW_S)

    assert (saved.state, saved.wish) == (State.RENTING, Wish.CANCEL)


def test_a_run_is_listed_as_open_while_its_machine_may_bill(journal: Journal) -> None:
    returning = lease(state=LeaseState.RETURNING)
    ended = added(journal, run(state=State.ENDED, leases=(returning,)))
    assert journal.open_ids() == [RUN_ID]

    closed = ended.with_lease(returning.move(LeaseState.CLOSED))
    journal.save(ended, closed, [], [], NOW_S)

    assert journal.open_ids() == []
    assert journal.runs(only_open=True) == []
    assert len(journal.runs()) == 1


def test_leases_are_found_by_state_across_runs(journal: Journal) -> None:
    def of(run_id: str, state: LeaseState) -> Lease:
        return lease(f"label-{run_id}", run_id=run_id, state=state)

    added(journal, run("aaaaaaaa", leases=(of("aaaaaaaa", LeaseState.HELD),)))
    added(journal, run("bbbbbbbb", leases=(of("bbbbbbbb", LeaseState.TOMBSTONE),)))

    assert [one.run_id for one in journal.leases(LeaseState.TOMBSTONE)] == ["bbbbbbbb"]
    assert len(journal.leases()) == 2


def test_a_reference_is_a_name_or_the_start_of_an_id_and_never_a_pattern(
    journal: Journal,
) -> None:
    added(journal, run("aaaa1111", name="one"))
    added(journal, run("aaaa2222", name="two", created_s=NOW_S + 1))

    assert journal.find_ids("aaaa") == ["aaaa2222", "aaaa1111"]
    assert journal.find_ids("one") == ["aaaa1111"]
    assert journal.find_ids("%") == journal.find_ids("a_aa") == []


def test_dollars_come_back_to_the_last_digit_and_in_order(journal: Journal) -> None:
    money = [committed(RUN_ID, "0.000001"), committed(RUN_ID, "12345678.654321", at_s=1.0)]
    journal.add(run(), money, willing, 0)

    assert journal.entries(run_id=RUN_ID) == money
    assert journal.entries(since_s=NOW_S) == money[:1]
    assert journal.entries(run_id="nobody") == []


def test_a_remembered_value_is_replaced(journal: Journal) -> None:
    assert journal.get_meta("seen") is None

    journal.set_meta("seen", "1")
    journal.set_meta("seen", "2")

    assert journal.get_meta("seen") == "2"


def test_a_spoilt_store_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "gpulease.db"
    journal = Journal(f"sqlite:///{path}")
    journal.set_meta("seen", "1")
    journal.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)

    with pytest.raises(HomeError, match="the store cannot be read"):
        journal.runs()
    with pytest.raises(HomeError, match="the store cannot be written"):
        journal.set_meta("seen", "2")
    journal.close()


def test_a_write_that_passes_a_limit_changes_nothing(journal: Journal) -> None:
    read = added(journal, run(leases=()))
    before = everything(journal)

    def refuse(standing: Standing) -> None:
        check_limits(Limits(machines=0), standing, worst_usd=Decimal(0), usd_per_hour=Decimal(1))

    with pytest.raises(BudgetRefused, match="limit is 0"):
        journal.save(read, read.with_lease(lease()), [], ["renting"], NOW_S, check=refuse)

    assert everything(journal) == before


def test_a_dropped_lease_is_gone_and_the_others_keep_their_order(journal: Journal) -> None:
    leases = tuple(lease(f"label-{n}") for n in range(3))
    read = added(journal, run(leases=leases))

    later = replace(read, leases=(*read.leases[1:], lease("label-3")), dropped=1)
    journal.save(read, later, [], [], NOW_S)

    keys = [one.key for one in journal.run(RUN_ID).leases]
    assert keys == ["label-1", "label-2", "label-3"]
    assert len(journal.leases()) == 3


def kept(journal: Journal) -> tuple[Run, Run, Run]:
    """A run that keeps a machine, as it ends, and the one that goes on with the machine."""
    held = lease(state=LeaseState.HELD, machine_id="pod-1")
    before = added(journal, run(state=State.KEPT, leases=(held,)))
    handed = held.move(LeaseState.HANDED, handed_to="runid456")
    taken = replace(held, key="label-0+runid456", run_id="runid456", taken_from=RUN_ID)
    taker = run("runid456", name=before.name, state=State.SHIPPING, leases=(taken,))
    return before, before.with_lease(handed).move(State.ENDED, NOW_S), taker


def test_a_machine_is_handed_over_in_one_transaction(journal: Journal) -> None:
    before, after, taker = kept(journal)

    journal.hand_over(before, after, taker, [committed("runid456", "2")], NOW_S)

    assert journal.open_ids() == ["runid456"]
    assert journal.run("runid456") == taker
    assert journal.run(RUN_ID).leases[0].handed_to == "runid456"
    assert [one.run_id for one in journal.leases(LeaseState.HELD)] == ["runid456"]
    assert [one.run_id for one in journal.entries()] == ["runid456"]
    assert len(journal.events(RUN_ID)) == len(journal.events("runid456")) == 1


@pytest.mark.parametrize("meanwhile", ["returned", "wanted back", "taken", "named"])
def test_what_happened_to_a_kept_machine_meanwhile_undoes_the_whole_handing_over(
    journal: Journal, meanwhile: str
) -> None:
    before, after, taker = kept(journal)
    if meanwhile == "returned":
        journal.save(before, before.move(State.RETURNING, NOW_S), [], [], NOW_S)
    elif meanwhile == "wanted back":
        journal.wish(RUN_ID, Wish.CANCEL)
    elif meanwhile == "taken":
        journal.hand_over(before, after, replace(taker, id="runid789", leases=()), [], NOW_S)
    else:
        added(journal, run("runid789", name="another"))
        taker = replace(taker, name="another")
    known = everything(journal)

    with pytest.raises(StaleRun):
        journal.hand_over(before, after, taker, [committed("runid456", "2")], NOW_S)

    assert everything(journal) == known
    assert journal.find_ids("runid456") == []


def test_a_second_machine_under_a_label_is_kept_behind_the_one_in_use(journal: Journal) -> None:
    read = added(journal, run(leases=(lease("a"), lease("b"))))
    extra = lease("b/m2", label="b", state=LeaseState.RETURNING, machine_id="m2")

    saved = journal.save(read, read.with_extra(extra), [], [], NOW_S)
    again = journal.save(saved, saved.with_extra(lease("0")), [], [], NOW_S)

    assert [one.key for one in again.leases] == ["0", "b/m2", "a", "b"]
