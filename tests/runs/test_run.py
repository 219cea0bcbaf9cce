from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.runs.run import PHASES
from orchestrator.runs.states import IllegalMove, LeaseState, State
from tests.runs.samples import NOW_S, lease, run


def test_time_in_a_state_is_counted_to_its_phase() -> None:
    looked = run().move(State.RENTING, NOW_S + 5).move(State.LOOKING, NOW_S + 8)

    booted = looked.move(State.BOOTING, NOW_S + 20)

    assert booted.phases_s == {"plan": 5, "rent": 15}
    assert booted.state_since_s == NOW_S + 20


def test_a_clock_that_was_set_back_takes_no_time_from_a_phase() -> None:
    assert run().move(State.RENTING, NOW_S - 60).phases_s == {"plan": 0}


def test_every_state_but_the_end_has_a_phase() -> None:
    assert PHASES.keys() == set(State) - {State.ENDED}


def test_a_move_clears_what_was_waited_for_and_leaves_the_old_run_alone() -> None:
    before = run(waiting="for a machine")

    after = before.move(State.RENTING, NOW_S + 1, next_candidate=2)

    assert (after.waiting, after.next_candidate) == ("", 2)
    assert (before.waiting, before.state, before.phases_s) == ("for a machine", State.PLANNED, {})


def test_the_end_is_dated_and_final() -> None:
    ended = run().move(State.ENDED, NOW_S + 9)

    assert ended.ended_s == NOW_S + 9
    with pytest.raises(IllegalMove):
        ended.move(State.PLANNED, NOW_S + 10)


def test_a_program_cannot_run_before_a_machine_was_rented() -> None:
    with pytest.raises(IllegalMove, match="from planned to running"):
        run().move(State.RUNNING, NOW_S)


def test_a_lease_takes_the_place_of_the_one_with_its_key() -> None:
    two = run().with_lease(lease("a")).with_lease(lease("b"))

    changed = two.with_lease(lease("a", ssh_host="203.0.113.5"))

    assert [one.key for one in changed.leases] == ["a", "b"]
    assert changed.leases[0].ssh_host == "203.0.113.5"
    assert changed.lease == lease("b")


def test_a_second_machine_under_a_label_is_kept_behind_the_one_in_use() -> None:
    doubled = run(leases=(lease("a"),)).with_extra(lease("a/m2"))

    assert doubled.lease == lease("a")
    assert len(doubled.leases) == 2


def test_a_run_that_ended_stays_open_while_a_machine_may_bill() -> None:
    returning = lease(state=LeaseState.RETURNING)

    assert run(state=State.ENDED, leases=(returning,)).is_open
    assert run(leases=(returning,)).returning == (returning,)
    assert not run(state=State.ENDED, leases=(lease(state=LeaseState.CLOSED),)).is_open
    assert run().lease is None


def test_a_note_is_said_once_and_only_the_newest_twenty_are_kept() -> None:
    noted = run()
    for number in [*range(25), 24]:
        noted = noted.note(f"note {number}")

    assert noted.notes == tuple(f"note {number}" for number in range(5, 25))


def test_the_figures_of_a_run_are_the_sum_of_its_machines() -> None:
    held = lease("a", state=LeaseState.HELD, sent_s=NOW_S, began_s=NOW_S + 1800)
    closed = lease("b", state=LeaseState.CLOSED, sent_s=NOW_S, began_s=NOW_S, gone_s=NOW_S + 3600)
    both = run(leases=(closed, held))

    assert both.upper_usd(NOW_S + 3600) == Decimal("1.20")
    assert both.cost_usd(NOW_S + 3600) == Decimal("0.90")


def test_only_machines_that_may_bill_now_burn() -> None:
    leases = (
        lease("a", state=LeaseState.HELD, sent_s=NOW_S),
        lease("b", state=LeaseState.CLOSED, sent_s=NOW_S),
        lease("c", state=LeaseState.HELD, sent_s=NOW_S, bills=False),
        lease("d"),
    )

    assert run(leases=leases).burn_usd_per_hour() == Decimal("0.60")


def test_a_run_is_known_until_the_last_thing_that_was_written_of_it() -> None:
    back = lease(sent_s=NOW_S + 5, delete_asked_s=NOW_S + 50)

    assert run(heard_s=NOW_S + 20).known_until_s == NOW_S + 20
    assert run(heard_s=NOW_S + 20, leases=(back,)).known_until_s == NOW_S + 50
