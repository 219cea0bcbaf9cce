from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.budget.ledger import accrued_usd
from orchestrator.errors import BadCredentials, ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.reaper import Reaper
from orchestrator.providers.base import Charge, GuardWay
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from tests.lifecycle.clouds import label
from tests.lifecycle.steps.harness import CAPABILITIES, Stage
from tests.lifecycle.steps.two_keys import TwoKeys
from tests.runs.samples import NOW_S, lease

LAG_S = CAPABILITIES.list_lag_s


def returning(stage: Stage, **changes: object) -> None:
    """A run that only waits for its machine to be proven gone."""
    lease = {"state": LeaseState.RETURNING, **changes}
    stage.begin_held(State.RETURNING, lease, outcome=Outcome.SUCCEEDED)


def is_over(run: Run) -> bool:
    return run.state is State.ENDED


def test_an_accepted_delete_does_not_close_the_lease(stage: Stage) -> None:
    stage.cloud.ignores_delete = True
    returning(stage)

    stage.drive()
    stage.after(1)

    assert stage.cloud.said("delete") == ["m1"]
    assert stage.first.delete_accepted_s == NOW_S
    assert (stage.first.state, stage.run.state) == (LeaseState.RETURNING, State.RETURNING)


def test_a_machine_that_lives_on_is_asked_to_end_again_and_again(stage: Stage) -> None:
    stage.cloud.ignores_delete = True
    returning(stage)

    stage.drive()
    stage.after(4)
    assert len(stage.cloud.said("delete")) == 1
    stage.after(1)
    assert len(stage.cloud.said("delete")) == 2
    stage.after(600)
    assert len(stage.cloud.said("delete")) == 3
    assert stage.first.delete_tries == 3


def test_a_machine_that_takes_long_to_end_is_looked_at_less_and_less_often(stage: Stage) -> None:
    stage.cloud.ignores_delete = True
    returning(stage)
    began_s = stage.clock.now_s()

    stage.until(lambda run: stage.clock.now_s() >= began_s + 600)

    assert len(stage.cloud.said("delete")) == 13
    assert len(stage.cloud.said("get")) < 100


def test_an_acceptance_that_was_a_lie_ends_no_estimate(stage: Stage) -> None:
    stage.cloud.ignores_delete = True
    returning(stage)
    stage.drive()
    accepted_s = stage.first.delete_accepted_s
    stage.cloud.errors["delete"] = [ProviderDown("the reply was lost")]

    stage.after(60)

    assert accepted_s is not None
    assert stage.first.delete_accepted_s is None
    assert stage.first.delete_asked_s == stage.clock.now_s()


def test_gone_needs_the_id_and_a_list_that_is_old_enough_to_know(stage: Stage) -> None:
    returning(stage)

    stage.drive()
    stage.after(1)
    stage.after(LAG_S - 1)
    assert stage.first.state is LeaseState.RETURNING
    assert stage.cloud.said("list") == []
    stage.after(1)

    assert (stage.first.state, stage.first.returned_by) == (LeaseState.CLOSED, "provider")
    assert stage.first.gone_s == NOW_S + LAG_S + 1
    assert "m1 is proven gone" in stage.events()


def test_the_run_ends_once_its_machine_is_proven_gone(stage: Stage) -> None:
    returning(stage)

    ended = stage.until(is_over)

    assert ended.outcome is Outcome.SUCCEEDED
    assert not ended.is_open
    assert [entry.usd for entry in stage.journal.entries()] == [stage.first.upper_usd(0)]


def test_time_asleep_is_no_time_for_a_list_to_catch_up(stage: Stage) -> None:
    returning(stage)
    stage.drive()
    stage.after(1)

    stage.clock.advance(3600, asleep=True)
    stage.drive()

    assert stage.first.state is LeaseState.RETURNING


def test_one_miss_is_noise_where_the_provider_says_so(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    returning(stage)
    stage.drive()
    stage.after(1)

    stage.after(LAG_S)
    assert (stage.first.misses, stage.first.state) == (1, LeaseState.RETURNING)
    stage.after(4)
    assert stage.first.state is LeaseState.RETURNING
    stage.after(1)

    assert (stage.first.misses, stage.first.state) == (2, LeaseState.CLOSED)


def test_a_machine_that_is_back_after_one_miss_starts_the_proof_anew(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    returning(stage)
    stage.drive()
    stage.after(1)
    stage.after(LAG_S)
    assert stage.first.misses == 1

    del stage.cloud.gone_s["m1"]
    stage.after(1)

    assert (stage.first.misses, stage.first.unknown_s) == (0, None)
    assert len(stage.cloud.said("delete")) == 2


def test_a_machine_that_is_still_listed_is_not_gone(stage: Stage) -> None:
    returning(stage)
    stage.drive()
    stage.after(1)
    stage.cloud.lingers_s = 60.0

    stage.after(LAG_S)

    assert stage.run.waiting == "still listed"
    assert stage.first.state is LeaseState.RETURNING
    assert stage.until(is_over).returning == ()
    assert (stage.first.gone_s or 0.0) > NOW_S + LAG_S + 60


def test_another_accounts_key_proves_nothing(stage: Stage) -> None:
    returning(stage)
    stage.cloud.account = "user:u2"
    stage.cloud.end("m1")

    stage.after(LAG_S)
    stage.after(3600)

    assert stage.first.state is LeaseState.RETURNING
    assert "another account" in "".join(stage.run.notes)


def test_a_key_that_may_be_another_accounts_proves_nothing(stage: Stage) -> None:
    returning(stage, account="user:u1,key:one")
    stage.cloud.account = "key:two"
    stage.cloud.end("m1")

    stage.after(LAG_S)
    stage.after(3600)
    assert stage.first.state is LeaseState.RETURNING
    assert stage.run.waiting == "the key that rented is needed"

    stage.cloud.account = "user:u1,key:two"
    assert stage.until(is_over).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("call", ["get", "delete"])
def test_a_key_that_is_refused_makes_way_for_the_next_one(stage: Stage, call: str) -> None:
    stage.cloud.errors[call] = [BadCredentials("401")]
    returning(stage)

    stage.drive()
    assert stage.refused == ["runpod"]

    assert stage.until(is_over).leases[0].returned_by == "provider"
    assert stage.refused == ["runpod"]


def test_a_provider_that_is_down_is_asked_until_it_is_back(stage: Stage) -> None:
    stage.cloud.errors = {"get": [ProviderDown("502")] * 4, "delete": [ProviderDown("503")]}
    returning(stage)

    ended = stage.until(is_over)

    assert ended.leases[0].state is LeaseState.CLOSED
    assert stage.cloud.said("delete") == ["m1", "m1"]


def test_a_fresh_process_goes_on_with_the_return(stage: Stage) -> None:
    returning(stage)
    stage.drive()
    stage.restart()

    stage.until(is_over)

    assert stage.cloud.said("delete") == ["m1"]


def test_a_machine_that_ended_itself_is_bounded_by_the_bill(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, billing_lag_s=1800.0)
    stage.cloud.bill = [
        Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50")),
        Charge("other", NOW_S, NOW_S + 3600, Decimal(9)),
    ]
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.first.returned_by == "machine"
    assert stage.first.unknown_s == stage.first.deadline_s
    assert stage.first.billed_usd == Decimal("0.50")
    assert stage.first.upper_usd(stage.clock.now_s()) == Decimal("0.51")


@pytest.mark.parametrize(("machine_id", "usd"), [("m1", None), ("", None), ("", Decimal("0.40"))])
def test_a_bill_with_a_row_that_may_be_the_machines_bounds_nothing(
    stage: Stage, machine_id: str, usd: Decimal | None
) -> None:
    stage.cloud.bill = [
        Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50")),
        Charge(machine_id, NOW_S, NOW_S + 3600, usd),
    ]
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert (stage.first.billed_usd, stage.first.bound_usd) == (None, None)


def test_a_row_without_an_end_bounds_nothing(stage: Stage) -> None:
    stage.cloud.bill = [Charge("m1", NOW_S, 0.0, Decimal("0.30"))]
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert (stage.first.billed_usd, stage.first.bound_usd) == (None, None)


def test_the_bill_is_asked_for_from_the_first_run_of_a_kept_machine_on(stage: Stage) -> None:
    returning(stage, label=label(), taken_from="run0", sent_s=NOW_S + 6 * 3600)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.cloud.billed_since_s <= NOW_S


def test_another_machines_row_without_an_amount_takes_no_bound_away(stage: Stage) -> None:
    stage.cloud.bill = [
        Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50")),
        Charge("other", NOW_S, NOW_S + 3600, None),
    ]
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.first.billed_usd == Decimal("0.50")


def test_a_kept_machine_that_ended_itself_under_its_next_run_is_bounded_by_the_bill_of_both(
    stage: Stage,
) -> None:
    stage.cloud.bill = [Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50"))]
    returning(stage, label=label(), taken_from="run0", sent_s=NOW_S + 1800)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.first.billed_usd == Decimal("0.50") - stage.first.usd_per_hour / 2
    assert stage.first.upper_usd(stage.clock.now_s()) == Decimal("0.51")


def test_a_boot_that_cost_nothing_is_not_taken_off_what_the_second_run_cost(stage: Stage) -> None:
    stage.cloud.bill = [Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50"))]
    free = {"idle_usd_per_hour": Decimal(0), "ran_s": NOW_S + 600}
    returning(stage, label=label(), taken_from="run0", sent_s=NOW_S + 1800, **free)
    stage.cloud.end("m1")
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.first.billed_usd == Decimal("0.50") - stage.first.usd_per_hour / 3


def test_after_a_process_that_died_in_the_delete_a_machine_counts_until_it_is_seen_gone(
    stage: Stage,
) -> None:
    returning(stage)
    stage.cloud.errors["delete"] = [KeyboardInterrupt()]  # type: ignore[list-item]
    stage.clock.advance(600)
    with pytest.raises(KeyboardInterrupt):
        stage.drive()
    assert stage.first.delete_asked_s == NOW_S + 600
    stage.cloud.end("m1")
    stage.restart()

    stage.clock.advance(60)
    stage.until(is_over)

    assert stage.first.cost_usd(0) == Decimal("0.11")  # nobody knows that the call was made
    assert stage.first.upper_usd(0) >= Decimal("0.11")


def test_a_machine_that_was_seen_to_live_past_its_guards_time_counts_until_it_was_seen(
    stage: Stage,
) -> None:
    returning(stage, deadline_s=NOW_S + 60)
    stage.clock.advance(600)
    stage.cloud.errors["delete"] = [ProviderDown("not now")]
    stage.drive()
    stage.drive()
    assert stage.first.delete_tries == 1
    stage.cloud.end("m1")

    stage.until(is_over)

    assert stage.first.delete_accepted_s is None
    assert Decimal("0.10") <= stage.first.cost_usd(0) < Decimal("0.11")


def test_a_return_that_nobody_watched_to_its_end_is_bounded_by_the_bill(stage: Stage) -> None:
    stage.cloud.bill = [Charge("m1", NOW_S, NOW_S + 3600, Decimal("0.50"))]
    returning(stage)
    stage.drive()
    stage.clock.advance(86_400, asleep=True)

    stage.until(is_over)

    assert stage.first.returned_by == "provider"
    assert stage.first.upper_usd(0) == Decimal("0.51")


def test_without_a_bill_a_machine_that_ended_itself_counts_until_it_was_missed(
    stage: Stage,
) -> None:
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(36_000, asleep=True)

    stage.until(is_over)

    assert stage.first.bound_usd is None
    assert stage.first.upper_usd(0) >= Decimal("6.00")
    assert stage.first.cost_usd(0) == Decimal("1.20")


@pytest.mark.parametrize("ended_at", [0.0, NOW_S - 600, NOW_S + 600])
def test_what_a_machine_says_of_the_time_does_not_move_the_estimate(
    stage: Stage, ended_at: float
) -> None:
    exit_record = {"why": "finished", "exit_code": 0, "ended_at": ended_at}
    lease: dict[str, object] = {"state": LeaseState.RETURNING}
    seen: dict[str, object] = {"exit": exit_record, "exit_seen_s": NOW_S + 60}
    stage.begin_held(State.RETURNING, lease, outcome=Outcome.SUCCEEDED, **seen)
    stage.cloud.end("m1")
    stage.clock.advance(36_000, asleep=True)

    stage.until(is_over)

    assert stage.first.unknown_s == NOW_S + stage.run.launch.hold_s


def test_a_machine_without_a_guard_that_somebody_ended_is_estimated_until_it_was_missed(
    stage: Stage,
) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, guard=GuardWay.NONE)
    returning(stage)
    stage.cloud.end("m1")
    stage.clock.advance(36_000, asleep=True)

    stage.until(is_over)

    assert stage.first.unknown_s == NOW_S + 36_000 > stage.first.deadline_s
    assert stage.first.cost_usd(0) == Decimal("6.00")


def test_a_machine_whose_state_cannot_be_read_is_asked_to_end_all_the_same(stage: Stage) -> None:
    stage.cloud.errors["get"] = [ProviderDown("500")] * 50
    returning(stage)

    stage.drive()

    assert stage.cloud.said("delete") == ["m1"]
    assert stage.first.state is LeaseState.RETURNING


@pytest.mark.parametrize("call", ["get", "delete"])
def test_a_refused_key_is_read_again_while_a_machine_goes_back(stage: Stage, call: str) -> None:
    refused: list[str] = []
    stage.world.accounts = Accounts(lambda _: stage.cloud, stage.clock, refused.append)
    stage.cloud.errors[call] = [BadCredentials("401")]
    returning(stage)

    stage.until(is_over)

    assert refused == ["runpod"]


def test_after_one_stray_refusal_the_key_that_rented_has_its_turn_again(stage: Stage) -> None:
    two = TwoKeys(stage)
    returning(stage, account="key:aa")
    two.a.errors["get"] = [BadCredentials("a moment's 401")]

    stage.until(is_over, limit_s=120)

    assert two.a.said("delete") == ["m1"]
    assert stage.first.returned_by == "provider"


def test_the_key_that_a_person_gives_because_it_is_needed_is_used(stage: Stage) -> None:
    two = TwoKeys(stage, "b")
    returning(stage, account="key:aa")
    stage.clock.advance(1)
    stage.until(lambda run: run.waiting == "the key that rented is needed")

    two.give("a")

    stage.until(is_over, limit_s=120)
    assert two.a.said("delete") == ["m1"]


def test_runs_of_two_accounts_that_share_a_process_both_give_back(stage: Stage) -> None:
    two = TwoKeys(stage)
    mine = two.a.add("label-0")
    theirs = two.b.add("label-1", id="m2")
    leases = [
        lease(
            one.label or "",
            account=account,
            state=LeaseState.RETURNING,
            machine_id=one.id,
            sent_s=NOW_S,
            began_s=NOW_S,
        )
        for one, account in ((mine, "key:aa"), (theirs, "key:bb"))
    ]
    stage.begin(state=State.RETURNING, leases=tuple(leases), outcome=Outcome.SUCCEEDED)

    stage.until(is_over, limit_s=240)

    assert (two.a.said("delete"), two.b.said("delete")) == (["m1"], ["m2"])


def test_a_new_key_of_the_same_account_that_sees_the_machine_proves_its_end(stage: Stage) -> None:
    stage.cloud.account = "key:new"
    returning(stage, account="key:old")

    stage.until(is_over, limit_s=120)

    assert stage.first.account == "key:new"


def test_a_machine_that_is_listed_again_after_the_proof_is_ended_and_counted(stage: Stage) -> None:
    returning(stage, label=label())
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], label=label())
    stage.until(is_over)
    known_usd = stage.run.upper_usd(stage.clock.now_s())
    reaper = Reaper(stage.world.accounts, stage.journal, stage.clock, "homeid")
    stage.clock.advance(3600)
    stage.cloud.gone_s.clear()  # the proof was the provider's mistake

    reaper.return_known("runpod", stage.world.accounts.snapshot("runpod"))
    assert stage.run.is_open and stage.run.state is State.ENDED
    stage.until(lambda run: not run.is_open)

    assert stage.cloud.said("delete") == ["m1", "m1"]
    upper_usd = stage.run.upper_usd(stage.clock.now_s())
    assert upper_usd >= known_usd + Decimal("0.60")
    assert accrued_usd(stage.journal.entries()) == upper_usd
