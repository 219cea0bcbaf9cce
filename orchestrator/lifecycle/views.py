"""Runs and plans as the published JSON shapes. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.clock import to_iso
from orchestrator.offers.offer import Offer
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import PHASES, Candidate, Run
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.runs.view import (
    ErrorView,
    ForecastView,
    MachineOfRunView,
    MachineView,
    OfferView,
    PlanView,
    ProgressView,
    ReturnedView,
    RunView,
)

if TYPE_CHECKING:  # `ps` shows runs without any of these
    from orchestrator.lifecycle.plan import Plan
    from orchestrator.lifecycle.reaper import Found
    from orchestrator.lifecycle.sending import Part

_OUTCOME_EXIT = {
    Outcome.SUCCEEDED: 0,
    Outcome.FAILED: 1,
    Outcome.CANCELLED: 9,
    Outcome.CAPPED: 5,
    Outcome.EXPIRED: 5,
    Outcome.REFUSED: 5,
    Outcome.NO_CAPACITY: 3,
    Outcome.UNREACHABLE: 6,
}
PRECEDENCE = (7, 8, 70, 4, 6, 5, 9, 3, 1)


def to_run_view(run: Run, now_s: float, *, log_path: str, artifacts_dir: str) -> RunView:
    """What `submit`, `show` and `receipt` print."""
    lease = run.lease
    shown = [one for one in run.leases if one.has_machine or one.is_open]
    candidate = _candidate(run)
    return {
        "schema": 1,
        "run": run.id,
        "name": run.name,
        "kind": run.kind,
        "state": str(run.state),
        "outcome": str(run.outcome) if run.outcome else None,
        "exit_code": exit_code(run),
        "provider": lease.provider if lease else None,
        "offer": to_offer_view(lease.offer, candidate) if lease else None,
        "cap_usd": dollars(run.cap_usd),
        "spent_upper_usd": dollars(run.upper_usd(now_s)),
        "cost_usd": dollars(run.cost_usd(now_s)),
        "billed_usd": _billed_usd(run),
        "forecast": _forecast(candidate),
        "phases_s": phases(run, now_s),
        "progress": _progress(run),
        "metrics": run.metrics or dict(run.progress_metrics),
        "losses": list(run.losses),
        "device": run.device,
        "machines": [_machine(one, now_s) for one in shown],
        "returned": _returned(run),
        "guard": lease.guard if lease else "",
        "host_key_by": lease.host_key_by if lease else "",
        "artifacts": [
            {"path": path, "size_bytes": size, "sha256": sha256}
            for path, size, sha256 in run.artifacts
        ],
        "artifacts_dir": artifacts_dir,
        "artifacts_at": "" if run.brought_home else run.bucket_folder,
        "artifacts_missing": list(run.artifacts_missing),
        "log": log_path,
        "error": _error(run),
        "waiting": run.waiting,
        "notes": list(run.notes),
        "burn_usd_per_hour": dollars(run.burn_usd_per_hour()),
        "created_at": to_iso(run.created_s),
        "deadline_at": to_iso(lease.deadline_s) if lease else None,
        "kept_until": to_iso(run.kept_until_s) if run.state is State.KEPT else None,
        "ended_at": to_iso(run.ended_s) if run.ended_s else None,
    }


def to_plan_view(plan: Plan, artifacts: list[str], sent: list[Part]) -> PlanView:
    """What `plan` prints, and `submit` asks about."""
    need = plan.material.need
    deadline_s = plan.candidates[0].deadline_s if plan.candidates else 0.0
    return {
        "schema": 1,
        "name": plan.material.job.name,
        "kind": plan.material.job.kind,
        "need": {
            "gpu_memory_gib": need.gpu_memory_gib,
            "gpu_names": list(need.gpu_names),
            "gpu_count": need.gpu_count,
            "disk_gib": need.disk_gib,
            "cuda": need.cuda,
            "trust": need.trust,
        },
        "sizing": list(plan.material.sizing),
        "offers": [to_offer_view(one.offer, one) for one in plan.candidates],
        "refused": [
            {
                "id": offer.id,
                "provider": offer.provider,
                "gpu": offer.gpu,
                "usd_per_hour": dollars(offer.price.usd_per_hour),
                "reason": reason,
            }
            for offer, reason in plan.refused
        ],
        "relaxation": plan.relaxation,
        "cap_usd": dollars(plan.cap_usd) if plan.cap_usd is not None else None,
        "suggested_cap_usd": dollars(plan.suggested_usd),
        "deadline_hours": round(deadline_s / 3600, 3),
        "reserve_usd": dollars(plan.reserve_usd),
        "worst_usd": dollars(plan.worst_usd),
        "guards": list(plan.guards),
        "sends": [
            {"path": part.path, "files": part.files, "size_bytes": part.size_bytes} for part in sent
        ],
        "artifacts": artifacts,
        "warnings": list(plan.warnings),
        "start_by": to_iso(plan.start_by_s),
        "waits": plan.order is not None,
    }


def to_offer_view(offer: Offer, candidate: Candidate | None = None) -> OfferView:
    """One offer, with its forecast where there is a plan."""
    view: OfferView = {
        "id": offer.id,
        "provider": offer.provider,
        "gpu": offer.gpu,
        "gpu_count": offer.gpu_count,
        "gpu_memory_gib": offer.gpu_memory_gib,
        "usd_per_hour": dollars(offer.price.usd_per_hour),
        "region": offer.region,
        "trust": offer.trust,
        "stock": offer.stock,
    }
    if offer.bid is not None:
        view["bid"] = {
            "usd_per_hour": dollars(offer.bid.usd_per_hour),
            "reclaims_per_hour": round(offer.bid.reclaims_per_hour, 4),
        }
    price = offer.price
    if price.download_usd_per_gib or price.upload_usd_per_gib:
        view["traffic_usd_per_gib"] = {
            "download": dollars(price.download_usd_per_gib),
            "upload": dollars(price.upload_usd_per_gib),
        }
    if offer.reliability is not None:
        view["reliability"] = offer.reliability
    if offer.download_mbit_s is not None:
        view["download_mbit_s"] = offer.download_mbit_s
    if candidate is not None:
        view["forecast"] = _forecast(candidate)
        view["deadline_hours"] = round(candidate.deadline_s / 3600, 3)
        view["guard"] = candidate.guard
    return view


def to_machine_view(found: Found, now_s: float) -> MachineView:
    """One machine on an account."""
    machine, label = found.machine, found.label
    run_id = label.run if label else None
    return {
        "provider": found.provider,
        "id": machine.id,
        "label": machine.label,
        "whose": str(found.whose),
        "run": found.lease.run_id if found.lease else run_id,
        "status": str(machine.status),
        "gpu": machine.gpu,
        "usd_per_hour": dollars(machine.usd_per_hour),
        "age_hours": _age_hours(machine.created_at_s, now_s),
        "deadline": to_iso(label.deadline_s) if label else None,
        "note": "past its deadline" if found.is_past_deadline(now_s) else "",
    }


def _age_hours(created_at_s: float, now_s: float) -> float | None:
    """None where the provider does not tell when a machine was made."""
    return round(max(0.0, now_s - created_at_s) / 3600, 3) if created_at_s > 0 else None


def exit_code(run: Run) -> int | None:
    """What `receipt` and `attach` end with; None while the run is under way.

    A machine that is kept as asked, or with which another run went on, is not missed here.
    """
    if run.state not in (State.ENDED, State.KEPT) or run.outcome is None:
        return None
    codes = {_OUTCOME_EXIT[run.outcome]}
    said = run.failure.exit_code if run.failure is not None else 1
    if run.failure is not None and (run.outcome is not Outcome.FAILED or said != 1):
        codes.add(run.failure.exit_code)
    owed = [one for one in run.leases if one.has_machine and not one.handed_to]
    if run.state is State.ENDED and not all(_lease_returned(one)["proven"] for one in owed):
        codes.add(7)
    if run.artifacts_missing:
        codes.add(8)
    return next((code for code in PRECEDENCE if code in codes), 0)


def phases(run: Run, now_s: float) -> dict[str, float]:
    """Seconds by phase, the running one included."""
    counted = dict(run.phases_s)
    if phase := PHASES.get(run.state):
        counted[phase] = counted.get(phase, 0.0) + max(0.0, now_s - run.state_since_s)
    return {name: round(seconds, 3) for name, seconds in counted.items()}


def dollars(usd: Decimal) -> str:
    """Decimal text with at least cents.

    >>> dollars(Decimal("0.5")), dollars(Decimal("0.123400"))
    ('0.50', '0.1234')
    """
    text = f"{usd.normalize():f}"
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"


def _forecast(candidate: Candidate | None) -> ForecastView:
    if candidate is None:  # nothing is for rent yet
        return {"cost_usd": ["0", "0"], "hours": [0.0, 0.0]}
    return {
        "cost_usd": [dollars(usd) for usd in candidate.cost_usd],
        "hours": [round(hours, 4) for hours in candidate.hours],
    }


def _candidate(run: Run) -> Candidate | None:
    if not run.candidates:
        return None
    return run.candidates[max(0, min(run.next_candidate, len(run.candidates)) - 1)]


def _machine(lease: Lease, now_s: float) -> MachineOfRunView:
    return {
        "label": lease.label,
        "id": lease.machine_id,
        "provider": lease.provider,
        "gpu": lease.offer.gpu,
        "price_usd_per_hour": dollars(lease.usd_per_hour),
        "cost_usd": dollars(lease.cost_usd(now_s)),
        "spot": lease.offer.spot,
        "reclaimed_at": to_iso(lease.reclaimed_s) if lease.reclaimed_s is not None else None,
        "why_ended": lease.why_ended,
        "account_balance_usd": None if lease.balance_usd is None else dollars(lease.balance_usd),
        "returned": _lease_returned(lease),
        "handed_to": lease.handed_to,
    }


def _lease_returned(lease: Lease) -> ReturnedView:
    view: ReturnedView = {
        "proven": lease.state is LeaseState.CLOSED and lease.returned_by != "user",
        "at": to_iso(lease.gone_s) if lease.gone_s is not None else None,
    }
    if lease.returned_by:
        view["by"] = lease.returned_by
    return view


def _returned(run: Run) -> ReturnedView:
    rented = [one for one in run.leases if one.has_machine or one.is_open]
    proven = all(_lease_returned(one)["proven"] for one in rented)
    times = [one.gone_s for one in rented if one.gone_s is not None]
    at = to_iso(max(times)) if times and len(times) == len(rented) else None
    return {"proven": proven and not any(one.is_open for one in run.leases), "at": at}


def _billed_usd(run: Run) -> str | None:
    """What the providers have charged; None until it is known of every machine."""
    billed = [lease.billed_usd for lease in run.leases if lease.bills and lease.has_machine]
    known = [usd for usd in billed if usd is not None]
    return dollars(sum(known, Decimal(0))) if known and len(known) == len(billed) else None


def _progress(run: Run) -> ProgressView:
    view: ProgressView = {}
    for key, value in run.progress.items():
        if key == "step":
            view["step"] = int(value)
        elif key == "steps":
            view["steps"] = int(value)
        elif key == "loss":
            view["loss"] = value
        elif key == "learning_rate":
            view["learning_rate"] = value
        elif key == "samples_per_s":
            view["samples_per_s"] = value
        elif key == "epoch":
            view["epoch"] = value
        elif key == "eta_s":
            view["eta_s"] = value
    if run.progress_metrics:
        view["metrics"] = run.progress_metrics
    return view


def _error(run: Run) -> ErrorView | None:
    if run.failure is None:
        return None
    return {
        "code": run.failure.code,
        "problem": run.failure.problem,
        "hint": run.failure.hint,
    }
