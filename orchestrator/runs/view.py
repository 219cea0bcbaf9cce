"""What a program or a person is shown: the published JSON shapes (schema 1).

Dollars are decimal strings, hours numbers, times UTC text. `views.py` of the lifecycle fills them.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class ErrorView(TypedDict):
    code: str
    problem: str
    hint: str


class ReturnedView(TypedDict):
    proven: bool
    by: NotRequired[str]  # "provider", "user", "machine" (ended itself, then proven)
    at: str | None


class MachineOfRunView(TypedDict):
    label: str
    id: str | None
    provider: str
    gpu: str
    price_usd_per_hour: str
    cost_usd: str
    spot: bool  # it was bid for
    reclaimed_at: str | None  # a higher bid took it away
    why_ended: str
    account_balance_usd: str | None  # when it was last read; None where that cannot be had
    returned: ReturnedView
    handed_to: str  # the run that went on with it: its return is that run's; else ""


class ForecastView(TypedDict):
    cost_usd: list[str]  # low, high
    hours: list[float]


class TrafficView(TypedDict):
    download: str  # what reaches the machine
    upload: str  # what leaves it


class BidView(TypedDict):
    usd_per_hour: str  # without the disk
    reclaims_per_hour: float  # how often such a machine is expected to be taken away


class OfferView(TypedDict):
    id: str
    provider: str
    gpu: str
    gpu_count: int
    gpu_memory_gib: float
    usd_per_hour: str
    region: str
    trust: str
    stock: str
    bid: NotRequired[BidView]  # it goes to whoever bids more; absent: on demand
    traffic_usd_per_gib: NotRequired[TrafficView]  # where it is charged
    reliability: NotRequired[float]  # as far as the provider tells
    download_mbit_s: NotRequired[float]
    forecast: NotRequired[ForecastView]
    deadline_hours: NotRequired[float]
    guard: NotRequired[str]  # drilled | plausible | absent | not needed


class RefusedOfferView(TypedDict):
    id: str
    provider: str
    gpu: str
    usd_per_hour: str
    reason: str


class ArtifactView(TypedDict):
    path: str
    size_bytes: int
    sha256: str


class ProgressView(TypedDict, total=False):
    step: int
    steps: int
    loss: float
    learning_rate: float
    samples_per_s: float
    epoch: float
    eta_s: float
    metrics: dict[str, float]


class RunView(TypedDict):
    """One run: what `submit`, `show` and `receipt` print with --json."""

    schema: int
    run: str | None
    name: str
    kind: str
    state: str
    outcome: str | None
    exit_code: int | None  # what `receipt` and `attach` end with; None while it is under way
    provider: str | None
    offer: OfferView | None
    cap_usd: str
    spent_upper_usd: str
    cost_usd: str
    billed_usd: str | None
    forecast: ForecastView
    phases_s: dict[str, float]
    progress: ProgressView
    metrics: dict[str, float | str]
    losses: list[tuple[float, float]]  # (step, loss), at most 60 over the whole training
    device: str  # cuda | cpu
    machines: list[MachineOfRunView]
    returned: ReturnedView
    guard: str
    host_key_by: str  # "boot log", "first use", ""
    artifacts: list[ArtifactView]
    artifacts_dir: str
    artifacts_at: str  # s3://…, where they are instead of home; "" for home
    artifacts_missing: list[str]
    log: str  # path of the log at home
    error: ErrorView | None
    waiting: str  # what it waits for now, plain words
    notes: list[str]  # what a person must know: alerts, warnings
    burn_usd_per_hour: str
    created_at: str
    deadline_at: str | None
    kept_until: str | None  # while it is kept: when its machine goes back
    ended_at: str | None


class SentView(TypedDict):
    """One folder (`name/`) or file that would be sent."""

    path: str
    files: int
    size_bytes: int


class PlanView(TypedDict):
    """What would be done and what it would cost; nothing has been spent."""

    schema: int
    name: str
    kind: str
    need: dict[str, str | float | int | list[str]]
    sizing: list[tuple[str, str]]  # part, human figure: ("weights", "0.09 GiB")
    offers: list[OfferView]  # ranked, the first is rented first
    refused: list[RefusedOfferView]
    relaxation: str  # cheapest relaxation when nothing fits
    cap_usd: str | None
    suggested_cap_usd: str
    deadline_hours: float
    reserve_usd: str
    worst_usd: str
    guards: list[str]  # which money guards hold, in sentences
    sends: list[SentView]  # of the person's own files, the largest first
    artifacts: list[str]  # where they go, whether they fit, in sentences
    warnings: list[str]
    start_by: str
    waits: bool  # until `start_by` for something that fits, where nothing does now


class LedgerRunView(TypedDict):
    """What one run has cost, its machines proven gone."""

    run: str
    name: str
    outcome: str | None
    provider: str
    gpu: str
    machines: int
    spent_upper_usd: str
    cost_usd: str
    created_at: str


class BilledView(TypedDict):
    """Our figure beside a bill; `billed_usd` is null, and `why` says so, while it is not known: the
    bill may not be complete, or a row of it cannot be read."""

    estimate_usd: str
    billed_usd: str | None
    drift_usd: str | None  # billed - estimate
    differs: bool  # by more than rounding
    why: str


class BilledMachineView(BilledView):
    """One machine beside its provider's bill."""

    machine: str
    provider: str
    runs: list[str]  # several where runs went on with it
    names: list[str]


class BilledRunView(BilledView):
    """One run beside the bills of its machines of the month. The bill of a machine that it shared
    with others is divided as the estimates are, which is how it is kept, too."""

    run: str
    name: str
    machines: int
    shared: int  # of them


class OtherMachinesView(TypedDict):
    """What is on a bill and was not rented by this home."""

    provider: str
    machines: int
    billed_usd: str | None  # null where a row of theirs has no amount


class ReconcileView(TypedDict):
    """A month's machines and runs beside the bills of their providers."""

    schema: int
    month: str
    machines: list[BilledMachineView]
    runs: list[BilledRunView]
    others: list[OtherMachinesView]
    failures: list[str]


class LedgerLineView(TypedDict):
    """One entry of the ledger; `kind` says which way the dollars count."""

    at: str
    run: str
    name: str
    kind: str  # committed | accrued | released | corrected
    usd: str
    label: str
    note: str


class LedgerView(TypedDict):
    """A month of money. All figures are upper ones: never below the provider's bill."""

    schema: int
    month: str  # 2026-11, UTC
    spent_usd: str  # on machines that are proven gone
    open_usd: str  # so far on machines that are not; part of what is committed
    committed_usd: str  # the worst case of the open runs
    limit_usd: str
    days: list[tuple[str, str]]  # day, dollars: when the return was proven
    runs: list[LedgerRunView]
    open_runs: list[str]


class MachineView(TypedDict):
    """One machine on an account, whose it is, what it burns."""

    provider: str
    id: str
    label: str | None
    whose: str  # ours | orphan | elsewhere | foreign
    run: str | None
    status: str
    gpu: str
    usd_per_hour: str
    age_hours: float | None  # None: not told
    deadline: str | None
    note: str
