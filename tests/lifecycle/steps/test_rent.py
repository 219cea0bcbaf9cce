from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orchestrator.budget.ledger import Limits, accrued_usd
from orchestrator.budget.price import Price
from orchestrator.errors import (
    BadCredentials,
    GpuleaseError,
    InvalidRequest,
    NoCapacity,
    NotSent,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
    RentedAnyway,
)
from orchestrator.lifecycle.deadlines import SECOND_MISS_S
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.leasing import stays_open_usd
from orchestrator.lifecycle.world import INTENT_GOOD_S
from orchestrator.providers.base import MachineRequest
from orchestrator.runs.lease import TOMBSTONE_WATCH_S, Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import CAPABILITIES, Crate, Stage
from tests.lifecycle.steps.two_keys import TwoKeys
from tests.runs.samples import NOW_S, RUN_ID, candidate, lease, offer


class SlowCrate(Crate):
    """Making a request takes longer than an intent is good for."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.home)
        self.clock = stage.clock

    def request(self, run: Run, lease: Lease) -> MachineRequest:
        self.clock.advance(INTENT_GOOD_S + 1)
        return super().request(run, lease)


def lost(stage: Stage) -> None:
    """A run whose create was sent, and whose reply never came."""
    stage.cloud.errors["create"] = [OutcomeUnknown("the connection broke")]
    stage.begin()
    stage.drive(2)
    assert stage.state() is State.LOOKING


def test_the_intent_is_durable_before_the_provider_is_called(stage: Stage) -> None:
    stage.begin()

    stage.drive()

    assert stage.state() is State.RENTING
    assert stage.first.intent
    assert stage.first.sent_s == NOW_S
    assert stage.cloud.said("create") == []


def test_a_recorded_intent_is_sent_once_and_the_machine_is_held(stage: Stage) -> None:
    stage.begin()

    stage.drive(2)

    assert stage.cloud.said("create") == ["label-0"]
    assert stage.state() is State.BOOTING
    assert (stage.first.state, stage.first.machine_id) == (LeaseState.HELD, "m1")
    assert stage.first.began_s == NOW_S


def test_a_process_that_finds_an_intent_of_another_only_looks(stage: Stage) -> None:
    stage.begin()
    stage.drive()
    stage.restart()
    stage.cloud.calls.clear()

    stage.drive(2)

    assert stage.state() is State.LOOKING
    assert stage.cloud.said("create") == []
    assert stage.cloud.said("list") == [""]


def test_the_account_is_searched_for_forgotten_machines_before_a_rent(stage: Stage) -> None:
    lists: list[str] = []
    stage.world.accounts.watchers.append(lambda name, _: lists.append(name))
    stage.begin()

    stage.drive()

    assert stage.state() is State.RENTING
    assert lists == ["runpod"]


def test_a_list_that_fails_keeps_nobody_from_renting(stage: Stage) -> None:
    stage.cloud.errors["list"] = [ProviderDown("no answer")]
    stage.begin()

    stage.drive(2)

    assert stage.state() is State.BOOTING


def test_two_engines_that_both_drive_one_run_send_one_create(stage: Stage) -> None:
    stage.begin()
    stage.drive()
    first = stage.engine
    stage.restart()

    first.drive(RUN_ID)
    stage.drive(2)

    assert stage.cloud.said("create") == ["label-0"]


def test_a_machine_whose_reply_was_lost_is_adopted_by_its_label(stage: Stage) -> None:
    stage.cloud.loses_reply = True
    stage.begin()

    stage.drive(2)
    assert stage.first.state is LeaseState.INTENDED
    stage.drive()

    assert stage.state() is State.BOOTING
    assert stage.first.machine_id == "m1"
    assert stage.cloud.said("create") == ["label-0"]


def test_the_oldest_machine_of_a_label_is_adopted_and_a_second_goes_back(stage: Stage) -> None:
    lost(stage)
    stage.cloud.add("label-0", id="late", created_at_s=NOW_S + 2)
    stage.cloud.add("label-0", id="early", created_at_s=NOW_S)

    stage.drive()

    extra, current = stage.run.leases
    assert (extra.machine_id, extra.state) == ("late", LeaseState.RETURNING)
    assert (current.machine_id, current.state) == ("early", LeaseState.HELD)


def test_nothing_found_after_the_settling_time_is_a_tombstone_and_a_new_label(
    stage: Stage,
) -> None:
    lost(stage)
    stage.drive()

    stage.after(CAPABILITIES.settle_s - 1)
    assert stage.state() is State.LOOKING
    stage.after(1)

    old, new = stage.run.leases
    assert old.state is LeaseState.TOMBSTONE
    assert old.watch_until_s == stage.clock.now_s() + TOMBSTONE_WATCH_S
    assert (new.state, new.offer.id) == (LeaseState.INTENDED, "RTX 4090 x1")
    assert new.label != old.label
    assert stage.cloud.said("create") == ["label-0"]


def test_the_only_offer_is_tried_again_after_a_death_that_rented_nothing(stage: Stage) -> None:
    stage.begin(candidates=(candidate(offer()),))
    stage.drive()
    stage.restart()

    stage.until(lambda run: run.state is State.BOOTING)

    assert len(stage.cloud.machines) == 1
    assert stage.cloud.said("create") == [stage.run.leases[-1].label] != ["label-0"]


def test_an_offer_under_which_nothing_appears_twice_makes_way_for_the_next(stage: Stage) -> None:
    stage.cloud.errors["create"] = [OutcomeUnknown("the connection broke")] * 2
    stage.begin()

    stage.until(lambda run: run.state is State.BOOTING)

    assert [one.offer.id for one in stage.run.leases] == [
        "RTX 4090 x1",
        "RTX 4090 x1",
        "RTX 4090 x2",
    ]


def test_after_an_outage_one_noisy_list_does_not_prove_that_nothing_was_rented(
    stage: Stage,
) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    stage.cloud.loses_reply = True
    stage.begin()
    stage.drive(2)
    stage.cloud.errors["list"] = [ProviderDown("502")] * 12
    while stage.cloud.errors["list"]:  # longer than a machine takes to be listed
        stage.clock.advance(stage.engine.drive(RUN_ID) or 0.0)
    machine = stage.cloud.machines.pop("m1")
    stage.drive()
    stage.cloud.machines["m1"] = machine

    stage.until(lambda run: run.state is State.BOOTING)

    assert stage.cloud.said("create") == ["label-0"]
    assert stage.first.machine_id == "m1"


def test_two_lists_apart_prove_it_where_one_miss_is_noise(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    lost(stage)
    stage.drive()

    stage.after(CAPABILITIES.settle_s)
    stage.after(SECOND_MISS_S - 1)
    assert stage.state() is State.LOOKING
    stage.after(1)

    assert stage.first.state is LeaseState.TOMBSTONE


def test_time_asleep_does_not_count_as_looking(stage: Stage) -> None:
    lost(stage)
    stage.drive()
    stage.clock.advance(3600, asleep=True)

    stage.drive()

    assert stage.state() is State.LOOKING


def test_what_may_have_lived_and_ended_while_nobody_watched_is_counted(stage: Stage) -> None:
    lost(stage)
    stage.clock.advance(8 * 3600, asleep=True)

    stage.drive()
    stage.after(CAPABILITIES.settle_s)

    assert stage.first.state is LeaseState.TOMBSTONE
    assert stage.run.upper_usd(0) == accrued_usd(stage.journal.entries()) == Decimal("0.30")
    assert "may have lived" in stage.run.notes[0]


def test_a_list_of_another_account_does_not_prove_that_nothing_was_rented(stage: Stage) -> None:
    stage.cloud.account = "user:u1,key:one"
    lost(stage)
    stage.cloud.account = "key:two"

    stage.drive()
    stage.after(CAPABILITIES.settle_s * 10)

    assert stage.state() is State.LOOKING
    assert "another account" in stage.run.waiting


def test_looking_long_for_a_second_machine_does_not_let_the_plan_grow_old(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, settle_s=2000.0)
    stage.begin()
    stage.until(lambda run: run.state is State.BOOTING)
    stage.cloud.errors["create"] = [OutcomeUnknown("the connection broke")]
    stage.cloud.end("m1")
    stage.until(lambda run: run.state is State.LOOKING)
    assert stage.run.start_by_s < stage.clock.now_s() + 2000.0

    run = stage.until(lambda run: run.state is State.BOOTING)

    assert [lease.state for lease in run.leases[1:]] == [LeaseState.TOMBSTONE, LeaseState.HELD]


def test_looking_long_for_the_first_one_does(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, settle_s=2000.0)
    lost(stage)

    run = stage.until(lambda run: run.state is State.ENDED)

    assert (run.outcome, run.failure and run.failure.code) == (Outcome.EXPIRED, "expired")


def test_a_plan_that_grew_old_rents_nothing(stage: Stage) -> None:
    stage.begin()
    stage.clock.advance(901)

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.EXPIRED)
    assert stage.first.state is LeaseState.TOMBSTONE
    assert stage.cloud.said("create") == []


def test_a_run_cancelled_before_renting_rents_nothing(stage: Stage) -> None:
    stage.begin()
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.CANCELLED)
    assert stage.cloud.said("create") == []


def test_an_intent_that_grew_old_unsent_is_replaced_under_a_new_label(stage: Stage) -> None:
    stage.begin()
    stage.drive()

    stage.clock.advance(INTENT_GOOD_S + 1, asleep=True)
    stage.drive()

    assert stage.cloud.said("create") == []
    old, new = stage.run.leases
    assert old.state is LeaseState.TOMBSTONE
    assert (new.offer, new.label != old.label) == (old.offer, True)
    stage.drive(2)
    assert stage.cloud.said("create") == [new.label]


def test_a_machine_dearer_than_its_offer_goes_back_and_the_next_is_tried(stage: Stage) -> None:
    stage.begin()
    stage.cloud.usd_per_hour = Decimal("0.64")

    stage.drive(2)

    old, new = stage.run.leases
    assert (old.state, old.machine_id) == (LeaseState.RETURNING, "m1")
    assert "not the $0.600/h" in old.why_ended
    assert new.offer.id == "RTX 4090 x2"
    stage.drive()
    assert stage.cloud.said("delete") == ["m1"]


def test_a_sold_out_offer_leads_to_the_next(stage: Stage) -> None:
    stage.cloud.errors["create"] = [NoCapacity("sold out")]
    stage.begin()

    stage.until(lambda run: run.state is State.BOOTING)

    old, new = stage.run.leases
    assert old.state is LeaseState.TOMBSTONE
    assert stage.cloud.said("create") == [old.label, new.label]


@pytest.mark.parametrize(
    ("second", "outcome", "code"),
    [
        (InvalidRequest("disk: minimum 20"), Outcome.REFUSED, "invalid_request"),
        (InvalidRequest("another rule"), Outcome.NO_CAPACITY, "no_capacity"),
        (NoCapacity("disk: minimum 20"), Outcome.NO_CAPACITY, "no_capacity"),
    ],
)
def test_what_every_offer_refuses_in_the_same_words_is_wrong_itself(
    stage: Stage, second: ProviderError, outcome: Outcome, code: str
) -> None:
    stage.cloud.errors["create"] = [InvalidRequest("disk: minimum 20"), second]
    stage.begin()

    ended = stage.until(lambda run: not run.is_open)

    assert (ended.outcome, ended.failure and ended.failure.code) == (outcome, code)
    assert len(stage.cloud.said("create")) == 2


def test_a_refused_key_ends_the_run_with_nothing_rented(stage: Stage) -> None:
    stage.cloud.errors["create"] = [BadCredentials("the key was refused")]
    stage.begin()

    stage.drive(2)

    assert (stage.run.state, stage.run.outcome) == (State.ENDED, Outcome.REFUSED)
    assert stage.run.failure is not None
    assert stage.run.failure.exit_code == 4
    assert stage.first.state is LeaseState.TOMBSTONE


def test_an_error_that_names_a_machine_gives_it_back(stage: Stage) -> None:
    stage.cloud.errors["create"] = [RentedAnyway("it has no address", machine_id="m1")]
    stage.begin()
    stage.drive()
    stage.cloud.add("label-0")

    stage.drive()

    old, new = stage.run.leases
    assert (old.state, old.machine_id) == (LeaseState.RETURNING, "m1")
    assert new.state is LeaseState.INTENDED


@pytest.mark.parametrize(
    "error", [ProviderDown("502"), RateLimited("slow down"), ValueError("no JSON")], ids=repr
)
def test_an_answer_that_proves_nothing_is_looked_into(stage: Stage, error: Exception) -> None:
    stage.cloud.errors["create"] = [error]
    stage.begin()

    stage.drive(2)

    assert stage.state() is State.LOOKING
    assert stage.first.state is LeaseState.INTENDED


def test_a_key_that_cannot_be_kept_rents_nothing(stage: Stage) -> None:
    stage.crate.refusal = GpuleaseError("the disk is full")
    stage.begin()

    stage.drive(2)

    assert stage.run.outcome is Outcome.REFUSED
    assert stage.cloud.said("create") == []


def test_a_key_of_another_account_that_came_since_the_intent_rents_nothing(stage: Stage) -> None:
    stage.begin()
    stage.drive()
    stage.cloud.account = "user:u2"

    stage.drive()

    assert stage.cloud.said("create") == []
    assert stage.run.outcome is Outcome.REFUSED


def test_an_intent_that_grew_old_while_its_request_was_made_is_not_sent(stage: Stage) -> None:
    stage.begin()
    stage.drive()
    stage.world.cargo = SlowCrate(stage)

    stage.drive()

    assert stage.cloud.said("create") == []
    assert stage.run.leases[-1].state is LeaseState.INTENDED


def test_a_rise_that_the_cap_does_not_carry_beside_earlier_machines_is_refused(
    stage: Stage,
) -> None:
    earlier = lease(
        "label-x",
        state=LeaseState.CLOSED,
        machine_id="m9",
        sent_s=NOW_S - 3600,
        gone_s=NOW_S,
        usd_per_hour=Decimal("0.60"),
    )
    stage.begin(leases=(earlier, lease()), cap_usd=Decimal("1.84"))
    stage.cloud.usd_per_hour = Decimal("0.62")

    stage.drive(2)

    assert stage.run.leases[1].state is LeaseState.RETURNING
    assert "would pass the cap" in stage.run.leases[1].why_ended


def returning_beside(stage: Stage, **changes: object) -> None:
    """A run that is to rent again while its first machine is on its way back."""
    stage.cloud.add("label-0")
    old = lease(
        state=LeaseState.RETURNING,
        machine_id="m1",
        sent_s=NOW_S,
        began_s=NOW_S,
        usd_per_hour=Decimal("0.60"),
    )
    stage.begin(leases=(old, lease("label-1")), **changes)


def test_no_other_machine_while_both_might_pass_the_cap_with_nobody_left_to_watch(
    stage: Stage,
) -> None:
    stage.cloud.ignores_delete = True
    returning_beside(stage, cap_usd=Decimal("1.40"))

    stage.after(60)
    assert stage.state() is State.PLANNED
    assert "on its way back" in stage.run.waiting

    stage.cloud.end("m1")
    stage.until(lambda run: run.state is State.BOOTING)
    assert stage.run.leases[0].state is LeaseState.CLOSED


def test_a_machine_on_its_way_back_is_not_waited_for_where_the_cap_carries_both(
    stage: Stage,
) -> None:
    stage.cloud.ignores_delete = True
    returning_beside(stage)

    stage.until(lambda run: run.state is State.BOOTING)

    assert stage.run.leases[0].state is LeaseState.RETURNING


def test_an_earlier_machine_that_went_late_leaves_less_time_to_the_next(stage: Stage) -> None:
    stage.cloud.ignores_delete = True
    returning_beside(stage, cap_usd=Decimal("1.22"), start_by_s=NOW_S + 3600)
    stage.after(60)

    stage.clock.advance(1200)
    stage.cloud.end("m1")
    run = stage.until(lambda run: run.state is State.BOOTING)

    assert run.leases[1].state is LeaseState.TOMBSTONE
    others = stays_open_usd(run, stage.clock.now_s(), but=run.leases[2].key)
    life_s = run.leases[2].deadline_s - stage.clock.now_s()
    assert others + Decimal("0.60") * int(life_s) / 3600 <= run.cap_usd


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(machines=1), "the limit is 1"),
        (Limits(burn_usd_per_hour=Decimal("1.00")), "an hour would burn"),
    ],
)
def test_a_machine_on_its_way_back_counts_to_the_limits_of_the_config_file(
    stage: Stage, limits: Limits, why: str
) -> None:
    stage.cloud.ignores_delete = True
    stage.engine = Engine(stage.journal, stage.world, limits=limits)
    returning_beside(stage)

    stage.after(30)
    assert stage.state() is State.PLANNED
    assert why in stage.run.waiting
    stage.cloud.end("m1")

    assert stage.until(lambda run: run.state is State.BOOTING).leases[0].state is LeaseState.CLOSED


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spot": True}, "rented as a bid"),
        ({"traffic": Price(Decimal(0), Decimal("0.02"))}, "its traffic costs more"),
        ({"disk_gib": 10.0}, "its disk has 10 GiB, not the 40 asked for"),
    ],
)
def test_a_machine_that_is_not_what_was_asked_for_goes_back(
    stage: Stage, changes: dict[str, object], why: str
) -> None:
    stage.begin_held(State.BOOTING, {})
    machine = stage.cloud.machines["m1"]
    stage.cloud.machines["m1"] = replace(machine, **changes)  # type: ignore[arg-type]

    stage.drive()

    assert stage.first.state is LeaseState.RETURNING
    assert why in stage.first.why_ended


def test_a_create_that_was_never_sent_is_tried_again_on_the_same_offer(stage: Stage) -> None:
    stage.cloud.errors["create"] = [NotSent("the key is not registered yet", retry_after_s=7.0)]
    stage.begin()

    stage.drive(2)
    old, new = stage.run.leases
    assert (old.state, new.offer) == (LeaseState.TOMBSTONE, old.offer)
    assert old.upper_usd(NOW_S + 60) == 0
    assert stage.cloud.machines == {}
    stage.until(lambda run: run.state is State.BOOTING)

    assert len(stage.cloud.machines) == 1


def test_a_key_that_was_exchanged_since_the_intent_rents_nothing_under_it(stage: Stage) -> None:
    two = TwoKeys(stage)
    stage.begin()
    stage.drive()
    two.exchange()

    stage.drive()
    old, new = stage.run.leases
    assert (old.state, new.offer) == (LeaseState.TOMBSTONE, old.offer)
    stage.until(lambda run: run.state is State.BOOTING)

    assert (two.a.machines, len(two.b.machines)) == ({}, 1)
    assert stage.run.leases[1].account == "key:bb"


def test_no_exchange_of_keys_makes_a_living_machine_proven_gone(stage: Stage) -> None:
    two = TwoKeys(stage)
    stage.begin()
    stage.drive()
    two.exchange()
    stage.until(lambda run: run.state is State.BOOTING)

    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)
    stage.drive()
    two.exchange()
    stage.until(lambda run: not run.is_open)

    assert two.b.said("delete") == list(two.b.machines) == list(two.b.gone_s)


def test_a_machine_that_is_adopted_belongs_to_the_account_that_showed_it(stage: Stage) -> None:
    stage.cloud.account = "key:old"
    stage.cloud.loses_reply = True
    stage.begin()
    stage.drive(2)
    stage.cloud.account = "key:new"  # another key of the same account

    stage.drive()

    assert (stage.state(), stage.first.account) == (State.BOOTING, "key:new")


def test_a_look_under_another_key_gives_each_its_turn(stage: Stage) -> None:
    two = TwoKeys(stage)
    two.a.loses_reply = True
    stage.begin()
    stage.drive(2)
    two.exchange()

    stage.until(lambda run: run.state is State.BOOTING, limit_s=60)

    assert two.a.said("create") == ["label-0"] and two.b.said("create") == []


@pytest.mark.parametrize(("steps", "state"), [(0, State.PLANNED), (1, State.RENTING)])
def test_cancel_now_before_the_create_is_sent_rents_nothing(
    stage: Stage, steps: int, state: State
) -> None:
    stage.begin()
    stage.drive(steps)
    assert stage.state() is state

    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)
    stage.until(lambda run: not run.is_open)

    assert stage.run.outcome is Outcome.CANCELLED
    assert (stage.cloud.said("create"), stage.cloud.machines) == ([], {})
    assert stage.run.upper_usd(stage.clock.now_s()) == 0
