"""A drill: a machine is rented for cents only to see that it ends itself, as its guard promises.

It is an ordinary run, so whatever happens to it and to this computer, the machine goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

from orchestrator.budget.traffic import Traffic
from orchestrator.errors import UsageError
from orchestrator.lifecycle.boot_time import boot_deadline_s
from orchestrator.lifecycle.deadlines import DRILL_LATE_S
from orchestrator.lifecycle.plan import DEFAULT_IMAGE, Material
from orchestrator.lifecycle.traffic import IMAGE_BYTES
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities, GuardWay, same_account
from orchestrator.runs.run import Launch, Run
from orchestrator.runs.states import LeaseState, Outcome
from orchestrator.spec.job import Job, job_from_document
from orchestrator.spec.resources import Need
from orchestrator.store.journal import Journal

GOOD_S = 90 * 24 * 3600.0  # a drill counts for so long
# Then it is to end itself, after the minute in which a program would be saved. A cold start of a
# 16 GB image took 169 s (facts §4.3), and a machine that is not up by its deadline goes back.
_WORK_S = 180.0
_DISK_GIB = 20


def drill_name(provider: str) -> str:
    """What a provider's drills are called."""
    return f"drill-{provider}".replace(":", "-").replace("_", "-")


def drill_job(provider: str, folder: Path) -> Job:
    """The job of a drill; its program is never sent. `folder`: an empty one."""
    return job_from_document(
        {
            "folder": str(folder),
            "kind": "finetune",
            "name": drill_name(provider),
            "code": {"path": str(folder), "command": "true"},
            "budget": {"max_duration": f"{_WORK_S:.0f}s"},
            "providers": [provider],
        }
    )


def drill_material(job: Job, provider: str, capabilities: Capabilities) -> Material:
    """What a drill asks for: any one GPU, the cheapest. Nothing is shipped to it.

    Raises: UsageError where machines have no guard to be tried.
    """
    if capabilities.guard is not GuardWay.START_COMMAND:
        raise UsageError(
            f"machines of {provider} have no guard that a drill could try",
            hint="only where a provider runs our start command does a machine end itself",
        )
    launch = Launch(
        image=DEFAULT_IMAGE,
        disk_gib=_DISK_GIB,
        python="3.11",
        cuda="",
        program="",
        command=(),
        requirements={},
        collect_s=0.0,
        hold_s=0.0,
        traffic=Traffic(image_bytes=IMAGE_BYTES),
        drill=True,
    )
    return Material(
        job=job,
        launch=launch,
        need=Need(disk_gib=_DISK_GIB),
        footprint=None,
    )


def drill_cap_usd(offer: Offer, capabilities: Capabilities) -> Decimal:
    """What a drill may cost at most: a slow boot, a guard that fails, and a slow return."""
    seconds = boot_deadline_s(offer, capabilities) + _WORK_S + DRILL_LATE_S + 600.0
    traffic_usd = Traffic(image_bytes=IMAGE_BYTES).planned_usd(offer.price)
    twentieths = (offer.price.usd_per_hour * int(seconds) / 3600 + traffic_usd) * 20
    return (Decimal(int(twentieths) + 1) / 20).quantize(Decimal("0.01"))


def with_cap(job: Job, usd: Decimal) -> Job:
    """The job under that cap."""
    budget = job.budget.model_copy(update={"max_cost_usd": usd})
    return job.model_copy(update={"budget": budget})


def drilled_accounts(
    journal: Journal, identity: Callable[[str], str], names: Iterable[str], now_s: float
) -> frozenset[str]:
    """Accounts on which a machine has ended itself in a drill of the last 90 days.

    Args:
        identity: of an account as the key at hand tells it; asked only where there was a drill.
    """
    drills = {name: _drills(journal, name) for name in names}
    return frozenset(
        name
        for name, runs in drills.items()
        if runs and any(_counts(run, identity(name), now_s) for run in runs)
    )


def _drills(journal: Journal, name: str) -> list[Run]:
    found = [journal.run(run_id) for run_id in journal.find_ids(drill_name(name))[:10]]
    return [run for run in found if run.launch.drill]


def _counts(run: Run, identity: str, now_s: float) -> bool:
    lease = run.lease
    return (
        run.outcome is Outcome.SUCCEEDED
        and lease is not None
        and lease.state is LeaseState.CLOSED
        and lease.returned_by == "machine"
        and now_s - (lease.gone_s or 0.0) < GOOD_S
        and same_account(lease.account, identity) is True
    )
