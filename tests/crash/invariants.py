"""What must hold at the end of every run, whatever happened to its driver meanwhile."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from decimal import Decimal

from infra.simcloud.faults import LAGS
from infra.simcloud.rented import Rented
from orchestrator.budget.ledger import accrued_usd, committed_usd
from orchestrator.budget.price import CENT
from orchestrator.lifecycle.views import to_run_view
from orchestrator.runs.label import parse_label
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.runs.view import RunView
from tests.crash.clouds import has_guard, tells_uptime
from tests.crash.stage import Stage, Violation, artifacts_dir, bill_usd, promised
from tests.crash.uploads import stored

_MICRO_USD = Decimal("0.000001")  # what a share of a bill may be rounded by
_LATE_S = 120.0  # a guard's tick and the ways that it tries


def check(
    stage: Stage,
    ends: frozenset[tuple[Outcome, int]],
    *,
    guarded: bool = True,
    told: str = "",
    repeats_s: float = 0.0,
) -> None:
    """Raise Violation with every promise that was broken.

    Args:
        ends: outcomes with exit codes that the story allows.
        guarded: whether a machine can end itself in it.
        told: what the first run's events must say, as a pattern.
        repeats_s: how much of a lost machine's work may be done again; 0: that is not asked.
    """
    broken = list(stage.seen)
    broken += _creates(stage)
    if not stage.is_recorded():
        broken += [
            f"{one.id} was rented for a run that nobody recorded" for one in stage.machines()
        ]
    else:
        broken += [*_machines(stage, guarded), *_money(stage)]
        events = "\n".join(text for _, text in stage.journal.events(stage.run.id))
        if not re.search(told, events):
            broken.append(f"nothing of it is told as {told!r}")
        broken += _repeated(stage, repeats_s) if repeats_s else []
        for run in stage.runs():
            view = to_run_view(run, stage.clock.now_s(), log_path="", artifacts_dir="")
            broken += [*_ended(run, view, ends), *_artifacts(stage, run, view)]
    if broken:
        raise Violation("\n".join(broken))


def _repeated(stage: Stage, most_s: float) -> Iterator[str]:
    boxes = [stage.fleet.boxes[one.id] for one in stage.machines() if one.id in stage.fleet.boxes]
    worked = [box.steps_s for box in boxes if box.steps_s[1] > 0]
    for (_, came_to_s), (began_s, _) in itertools.pairwise(worked):
        if came_to_s - began_s > most_s:
            yield f"{came_to_s - began_s:.0f} s of work were done again"


def _creates(stage: Stage) -> Iterator[str]:
    for label, times in stage.creates.items():
        if times > 1:
            yield f"{times} creates were sent under {label}"


def _machines(stage: Stage, guarded: bool) -> Iterator[str]:
    for other in stage.neighbours():
        if not other.alive:
            yield f"{other.id} is gone, and it was somebody else's"
    leases = {lease.machine_id: lease for lease in stage.leases() if lease.has_machine}
    for machine in stage.machines():
        label = parse_label(machine.label)
        lease = leases.get(machine.id)
        if machine.alive:
            yield f"{machine.id} still lives and bills"
            continue
        assert label is not None and machine.ended_s is not None
        # What never started has no guard: we ask for its end in time, and go on asking.
        ends_itself = machine.life and has_guard(machine)
        asked_s = lease.return_since_s if lease is not None and not ends_itself else None
        may_be_late = not guarded or machine.id in stage.left_alone
        if not may_be_late and (asked_s or machine.ended_s) > label.deadline_s + _LATE_S:
            late_s = (asked_s or machine.ended_s) - label.deadline_s
            yield f"{machine.id} outlived its deadline by {late_s:.0f} s"
        if lease is None:
            continue
        early_s = machine.ended_s - (lease.gone_s or 0.0)
        if lease.state is LeaseState.CLOSED and early_s > 0:
            yield f"{machine.id} counted as gone {early_s:.0f} s early"
    for one in stage.leases():
        if one.is_open:
            yield f"the lease {one.key} is left {one.state}"
        if one.deadline_s > one.latest_s:
            yield f"the lease {one.key} has a later deadline than its label"


def _ended(run: Run, view: RunView, ends: frozenset[tuple[Outcome, int]]) -> Iterator[str]:
    if run.state is not State.ENDED or run.outcome is None:
        yield f"the run is left {run.state}"
        return
    handed = any(lease.handed_to for lease in run.leases)  # its return is the next run's
    if view["returned"]["proven"] is handed:
        yield "the return is not proven"
    code = view["exit_code"]
    if code is None or (run.outcome, code) not in ends:
        allowed = ", ".join(f"{outcome} {code}" for outcome, code in sorted(ends))
        yield f"it ended {run.outcome} with exit code {code}, not one of: {allowed}"


def _money(stage: Stage) -> Iterator[str]:
    """One cap holds over all that was done with a machine, by however many runs."""
    now_s, run, runs = stage.clock.now_s(), stage.run, stage.runs()
    billed = bill_usd(stage)
    upper = sum((one.upper_usd(now_s) for one in runs), Decimal(0))
    is_told = not (stage.left_alone or stage.untold or _bill_failed(stage))
    cost = sum((one.cost_usd(now_s) for one in runs), Decimal(0))
    entries = [entry for one in runs for entry in stage.journal.entries(run_id=one.id)]
    for one in runs:
        own = stage.journal.entries(run_id=one.id)
        if one.upper_usd(now_s) > one.cap_usd and is_told:
            yield f"the upper figure ${one.upper_usd(now_s)} of {one.id} passes its own cap"
        if accrued_usd(own) != one.upper_usd(now_s) or committed_usd(own) != 0:
            yield f"the ledger of {one.id} has ${accrued_usd(own)}, ${committed_usd(own)} committed"
    tick_usd = _tick_usd(stage)
    if billed > run.cap_usd and not stage.left_alone:
        yield f"the bill of ${billed} passes the cap of ${run.cap_usd}"
    seen = {lease.machine_id for lease in stage.leases()}
    unseen = [machine for machine in stage.machines() if machine.id not in seen]
    yield from _uncounted(stage, now_s)
    if upper > run.cap_usd and is_told:
        yield f"the upper figure ${upper} passes the cap of ${run.cap_usd}"
    known_usd = billed - sum((one.bill_usd(now_s) for one in unseen), Decimal(0))
    above_usd = tick_usd + _unknown_usd(stage) + _stepped_usd(stage)
    below_usd = tick_usd + _unseen_start_usd(stage)
    if not known_usd - below_usd <= cost <= known_usd + above_usd:
        yield f"the cost ${cost} is not the bill of ${known_usd} for what was seen"
    if accrued_usd(entries) != upper:
        yield f"the ledger accrued ${accrued_usd(entries)}, not the run's ${upper}"
    if committed_usd(entries) != 0:
        yield f"${committed_usd(entries)} are still committed"


def _bill_failed(stage: Stage) -> bool:
    """Whether a bill could not be read, which alone proves when a machine ended unwatched."""
    met = stage.cloud.world.faults.met
    return any(call == "billing" and fault not in LAGS for _, fault, call in met)


def _tick_usd(stage: Stage) -> Decimal:
    """How far the estimate may be off: two seconds of the dearest machine, and of each one that
    is billed in longer steps one such step, because our reading of its start differs from theirs.
    """
    machines = stage.machines()
    rate = max((one.usd_per_hour for one in machines), default=Decimal(0))
    steps = (
        one.usd_per_hour * one.billing_increment_s / 3600
        for one in machines
        if one.billing_increment_s > 1
    )
    return max(CENT, rate * 2 / 3600) + sum(steps, Decimal(0))


def _uncounted(stage: Stage, now_s: float) -> Iterator[str]:
    """Each machine by itself: what was counted too high for one hides nothing of another."""
    seen = {lease.machine_id for lease in stage.leases()}
    for label in {machine.label for machine in stage.machines()}:
        machines = [one for one in stage.machines() if one.label == label]
        leases = [one for one in stage.leases() if one.label == label]
        billed_usd = sum((one.bill_usd(now_s) for one in machines), Decimal(0))
        upper_usd = sum((one.upper_usd(now_s) for one in leases), Decimal(0))
        # Lost before anybody saw it: nobody can know that its price was not the one of its offer.
        unseen = [one for one in machines if one.id not in seen]
        unknown_usd = sum((_overprice_usd(stage, one, now_s) for one in unseen), Decimal(0))
        # Nor, where nobody was there, until when it lived beyond its deadline.
        unknown_usd += sum(
            (_late_usd(one, now_s) for one in unseen if one.id in stage.left_alone), Decimal(0)
        )
        if upper_usd < billed_usd - unknown_usd - _MICRO_USD:
            yield f"under {label} ${billed_usd} were billed, and at most ${upper_usd} counted"


def _overprice_usd(stage: Stage, machine: Rented, now_s: float) -> Decimal:
    """What a machine was billed above the price of the offer under which it was rented."""
    offers = [one.offer for one in stage.leases() if one.label == machine.label]
    sold = offers[0].price.usd_per_hour if offers else Decimal(0)
    above = max(Decimal(0), machine.usd_per_hour - sold) / machine.usd_per_hour
    return machine.bill_usd(now_s) * above


def _late_usd(machine: Rented, now_s: float) -> Decimal:
    """What a machine was billed after its label's deadline."""
    label = parse_label(machine.label)
    assert label is not None
    late_s = sum(
        max(0.0, span.end_s(now_s) - max(span.since_s, label.deadline_s)) for span in machine.spans
    )
    return machine.usd_per_hour * Decimal(late_s) / 3600


def _unknown_usd(stage: Stage) -> Decimal:
    """What the estimate counts on for, until the provider said that a machine had ended."""
    leases = {lease.machine_id: lease for lease in stage.leases() if lease.has_machine}
    total = Decimal(0)
    for machine in stage.machines():
        lease = leases.get(machine.id)
        learnt = [] if lease is None else [lease.delete_accepted_s, lease.unknown_s]
        known_s = min((at_s for at_s in learnt if at_s is not None), default=0.0)
        whole = [one for one in machine.spans if one.usd_per_hour == machine.usd_per_hour]
        billed_until_s = max((span.until_s or 0.0 for span in whole), default=0.0)
        late_s = max(0.0, known_s - billed_until_s)
        total += machine.usd_per_hour * Decimal(late_s) / 3600
        less = [one for one in machine.spans if one not in whole and one.since_s >= billed_until_s]
        total -= sum((one.usd(known_s) for one in less if late_s), Decimal(0))
    return total


def _unseen_start_usd(stage: Stage) -> Decimal:
    """What was billed before anybody saw a machine run, where bills begin with that and its
    provider does not tell since when; all of it, where nobody ever did. What is counted at most
    covers it.
    """
    total = Decimal(0)
    leases = {lease.machine_id: lease for lease in stage.leases() if lease.has_machine}
    for machine in stage.machines():
        lease = leases.get(machine.id)
        if lease is None or not machine.boots_free or machine.started_s is None:
            continue
        if lease.ran_s is None:
            total += machine.bill_usd(stage.clock.now_s())
        elif not tells_uptime(machine.provider):
            late_s = max(0.0, lease.ran_s - machine.started_s)
            total += machine.usd_per_hour * Decimal(late_s) / 3600
    return total


def _stepped_usd(stage: Stage) -> Decimal:
    """What is counted for time that never was, where the wall clock was set ahead."""
    rates = (one.usd_per_hour for one in stage.machines())
    return sum(rates, Decimal(0)) * Decimal(max(0.0, stage.stepped_s)) / 3600


def _artifacts(stage: Stage, run: Run, view: RunView) -> Iterator[str]:
    home = artifacts_dir(stage, run.id)
    for path, size_bytes, sha256 in run.artifacts:
        data = (home / path).read_bytes() if (home / path).is_file() else b""
        if run.launch.bucket and not run.brought_home:
            data = stored(stage.fleet.store, sha256, size_bytes) or b""
        if (len(data), hashlib.sha256(data).hexdigest()) != (size_bytes, sha256):
            yield f"{path} is not where the run says"
    known = {sha256 for _, _, sha256 in run.artifacts}
    lost = [path for path, sha256 in promised(stage, run.id).items() if sha256 not in known]
    if lost and not run.artifacts_missing:
        yield f"lost without a word: {', '.join(lost)}"
    if run.artifacts_missing and view["exit_code"] not in (7, 8):
        yield f"artifacts are missing, and the exit code is {view['exit_code']}"
