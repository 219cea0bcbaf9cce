"""Runs and leases as the tests of the record, the store and the engine build them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Candidate, Launch, Run

NOW_S = 1_800_000_000.0
RUN_ID = "runid123"


def offer(name: str = "RTX 4090 x1", *, usd_per_hour: str = "0.60") -> Offer:
    return Offer(
        id=name,
        provider="runpod",
        gpu="RTX 4090",
        gpu_count=1,
        gpu_memory_gib=24,
        price=Price(Decimal(usd_per_hour)),
    )


def lease(key: str = "label-0", **changes: object) -> Lease:
    made = Lease(
        key=key,
        label=key,
        run_id=RUN_ID,
        provider="runpod",
        account="user:u1",
        offer=offer(),
        deadline_s=NOW_S + 7200,
        stop_s=NOW_S + 3600,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def launch() -> Launch:
    return Launch(
        image="image:1",
        disk_gib=40,
        python="3.11",
        cuda="12.8",
        program="text_classification",
        command=("python", "train.py"),
        requirements={},
    )


def candidate(of: Offer) -> Candidate:
    return Candidate(
        offer=of,
        hours=(0.5, 1.0),
        cost_usd=(Decimal("0.30"), Decimal("0.60")),
        work_s=3600,
        deadline_s=7200,
        capped=False,
    )


def run(run_id: str = RUN_ID, **changes: object) -> Run:
    made = Run(
        id=run_id,
        name=f"name-{run_id}",
        kind="finetune",
        job={"kind": "finetune"},
        job_hash="0" * 64,
        launch=launch(),
        candidates=(candidate(offer()), candidate(offer("RTX 4090 x2"))),
        cap_usd=Decimal(5),
        max_duration_s=3600,
        created_s=NOW_S,
        start_by_s=NOW_S + 900,
        state_since_s=NOW_S,
    )
    return replace(made, **changes)  # type: ignore[arg-type]
