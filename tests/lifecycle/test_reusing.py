from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.ledger import EntryKind
from orchestrator.errors import BudgetRefused, NoOffer, UsageError
from orchestrator.lifecycle.plan import Material, Plan
from orchestrator.lifecycle.reusing import kept_lease, reuse_plan, take_over
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.runs.label import Label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.spec.resources import Need
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, RUN_ID, launch, lease, run

NEXT = "runid456"
GUARDED = Capabilities(guard=GuardWay.START_COMMAND)
LATEST_S = int(NOW_S) + 7200


def held(**changes: object) -> Lease:
    label = str(Label("homeid", RUN_ID, 0, int(NOW_S) - 600, LATEST_S))
    made = lease(
        label, state=LeaseState.HELD, sent_s=NOW_S - 600, machine_id="pod-1", guard="plausible"
    )
    made = replace(made, deadline_s=float(LATEST_S), did_work=True)
    return replace(made, **changes)  # type: ignore[arg-type]


def kept(lease: Lease | None = None, /, **changes: object) -> Run:
    made = run(state=State.KEPT, leases=(lease or held(),), launch=launch())
    made = replace(made, outcome=Outcome.SUCCEEDED, kept_until_s=NOW_S + 600, cap_usd=Decimal(2))
    return replace(made, **changes)  # type: ignore[arg-type]


def wanted(folder: Path, more: str = "", /, **changes: object) -> Material:
    made = replace(material(own_code(folder, more)), need=Need(allow_cpu=True))
    return replace(made, launch=replace(made.launch, **changes))  # type: ignore[arg-type]


def plan(folder: Path, keeper: Run | None = None, /, **changes: object) -> Plan:
    return reuse_plan(wanted(folder, **changes), keeper or kept(), GUARDED, NOW_S)


def test_what_is_left_of_the_first_cap_is_the_most_that_the_next_run_may_cost(
    tmp_path: Path,
) -> None:
    keeper = kept()

    made = plan(tmp_path, keeper)

    assert made.cap_usd == keeper.cap_usd - keeper.upper_usd(NOW_S)
    assert made.worst_usd == made.cap_usd
    assert [one.offer for one in made.candidates] == [keeper.leases[0].offer]
    assert any("pod-1" in sentence for sentence in made.guards)


def test_both_runs_share_one_machine_one_label_and_no_moment_of_it(tmp_path: Path) -> None:
    keeper = kept()
    now_s = NOW_S + 30

    after, taker, entries = take_over(keeper, plan(tmp_path, keeper), NEXT, now_s)

    first, next_ = after.leases[0], taker.leases[0]
    assert (after.state, first.state, first.handed_to) == (State.ENDED, LeaseState.HANDED, NEXT)
    assert not after.is_open
    assert (taker.state, next_.state, next_.taken_from) == (State.SHIPPING, LeaseState.HELD, RUN_ID)
    assert (first.label, first.machine_id) == (next_.label, next_.machine_id)
    assert first.key != next_.key
    assert first.gone_s == next_.sent_s == next_.began_s == now_s
    assert next_.deadline_s <= first.latest_s == LATEST_S
    assert next_.stop_s < next_.deadline_s and not next_.did_work
    later_s = now_s + 3600
    assert after.upper_usd(later_s) == keeper.upper_usd(now_s)
    assert after.upper_usd(later_s) + taker.cap_usd <= keeper.cap_usd
    assert [(one.kind, one.usd, one.run_id) for one in entries] == [
        (EntryKind.COMMITTED, taker.cap_usd, NEXT)
    ]


def test_of_a_run_that_goes_on_it_is_said_when_its_machine_is_kept() -> None:
    goes_on = kept(state=State.RUNNING, launch=replace(launch(), keep_s=600.0))

    with pytest.raises(UsageError, match="kept once that is over") as caught:
        kept_lease(goes_on, NOW_S)

    assert caught.value.hint == f"gpulease attach {goes_on.id} ends then; submit again"


def test_a_third_run_may_follow(tmp_path: Path) -> None:
    _, second, _ = take_over(kept(), plan(tmp_path), NEXT, NOW_S)
    again = replace(second, state=State.KEPT, outcome=Outcome.FAILED, kept_until_s=NOW_S + 900)

    after, third, _ = take_over(again, plan(tmp_path, again), "runid789", NOW_S + 60)

    assert len({after.leases[0].key, third.leases[0].key}) == 2
    assert third.leases[0].latest_s == LATEST_S
    assert third.cap_usd <= second.cap_usd


def test_a_smaller_cap_of_the_job_counts(tmp_path: Path) -> None:
    cheap = wanted(tmp_path)
    job = cheap.job.model_copy(
        update={"budget": cheap.job.budget.model_copy(update={"max_cost_usd": Decimal("0.80")})}
    )

    made = reuse_plan(replace(cheap, job=job), kept(), GUARDED, NOW_S)

    assert made.cap_usd == Decimal("0.80")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": State.RUNNING}, "it is running"),
        ({"state": State.RETURNING}, "it went back"),
        ({"state": State.ENDED}, "it went back"),
        ({"wish": Wish.CANCEL}, "on its way back"),
        ({"kept_until_s": NOW_S}, "on its way back"),
        (
            {"leases": (held(key="x", state=LeaseState.RETURNING), held())},
            "not proven gone",
        ),
    ],
)
def test_a_run_without_a_kept_machine_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        kept_lease(kept(**changes), NOW_S)


def test_a_machine_that_went_on_with_another_run_names_it() -> None:
    handed = held(state=LeaseState.HANDED, handed_to=NEXT)

    with pytest.raises(UsageError, match=f"went on with run {NEXT}"):
        kept_lease(kept(handed, state=State.ENDED), NOW_S)


def test_another_image_a_larger_disk_or_no_guard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoOffer, match="its image is"):
        plan(tmp_path, image="other/image:2")
    with pytest.raises(NoOffer, match="its disk has"):
        plan(tmp_path, disk_gib=launch().disk_gib + 1)
    with pytest.raises(NoOffer, match="cannot end itself"):
        plan(tmp_path, kept(held(guard="absent")))


@pytest.mark.parametrize(("guard", "says"), [("absent", "no guard if"), ("watched", "a reaper on")])
def test_of_a_machine_without_a_guard_it_is_not_said_that_it_ends_itself(
    tmp_path: Path, guard: str, says: str
) -> None:
    material = wanted(tmp_path, accept_unguarded=True)
    unguarded = Capabilities(guard=GuardWay.NONE)

    made = reuse_plan(material, kept(held(guard=guard)), unguarded, NOW_S)

    told = "\n".join(made.guards)
    assert says in told
    assert "ends itself by" not in told
    assert "ends itself by" in "\n".join(plan(tmp_path).guards)


def test_a_smaller_cap_must_reach_until_the_reaper_has_been_there(tmp_path: Path) -> None:
    cheap = wanted(tmp_path)
    keeper = kept(held(guard="watched"), cap_usd=Decimal(9))

    def at(usd: str) -> Plan:
        budget = cheap.job.budget.model_copy(update={"max_cost_usd": Decimal(usd)})
        job = cheap.job.model_copy(update={"budget": budget})
        unguarded = Capabilities(guard=GuardWay.NONE)
        return reuse_plan(replace(cheap, job=job), keeper, unguarded, NOW_S)

    with pytest.raises(BudgetRefused, match="the reaper on another host would by"):
        at("0.80")
    assert at("4.00").cap_usd == Decimal(4)
    assert at("50").cap_usd == keeper.cap_usd - keeper.upper_usd(NOW_S)


def test_another_provider_or_more_gpu_is_refused_in_the_words_of_the_plan(tmp_path: Path) -> None:
    elsewhere = wanted(tmp_path, "providers: [local]\n")
    large = replace(wanted(tmp_path), need=Need(gpu_memory_gib=500))

    with pytest.raises(NoOffer, match="it is on runpod"):
        reuse_plan(elsewhere, kept(), GUARDED, NOW_S)
    with pytest.raises(NoOffer, match="500"):
        reuse_plan(large, kept(), GUARDED, NOW_S)


def test_no_room_under_cap_or_deadline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BudgetRefused, match="does not pay"):
        plan(tmp_path, kept(cap_usd=kept().upper_usd(NOW_S) + Decimal("0.01")))
    with pytest.raises(BudgetRefused, match="must be back by"):
        plan(tmp_path, kept(cap_usd=Decimal(50)), hold_s=7150.0)
