"""A run: one execution of one plan; the durable record. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from orchestrator.budget.traffic import Traffic
from orchestrator.offers.offer import Offer
from orchestrator.runs.lease import Lease
from orchestrator.runs.losses import Losses
from orchestrator.runs.states import Outcome, State, Wish, check_move
from orchestrator.sizing.fit import Footprint
from orchestrator.spec.resources import Need

PHASES: dict[State, str] = {
    State.PLANNED: "plan",
    State.RENTING: "rent",
    State.LOOKING: "rent",
    State.BOOTING: "boot",
    State.SHIPPING: "ship",
    State.SETTING_UP: "setup",
    State.RUNNING: "job",
    State.COLLECTING: "collect",
    State.KEPT: "keep",
    State.RETURNING: "return",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offer of the plan with what it may cost."""

    offer: Offer
    hours: tuple[float, float]  # low, high
    cost_usd: tuple[Decimal, Decimal]  # low, high
    work_s: float  # of the terms under the cap
    deadline_s: float  # from create
    capped: bool
    guard: str = ""  # drilled | plausible | absent | not needed


@dataclass(frozen=True, slots=True)
class Launch:
    """What a machine is given to run, fixed at plan time."""

    image: str
    disk_gib: int
    python: str
    cuda: str
    program: str  # folder of jobs/, "" for the user's own code
    command: tuple[str, ...]  # or one shell text
    requirements: dict[str, str]  # device → file in code/, {} for none
    columns: dict[str, str] = field(default_factory=dict)  # of the data: text, label
    model_id: str = ""
    model_revision: str = ""
    model_endpoint: str = ""
    model_folder: str = ""  # instead of the hub: a folder of this computer
    result_bytes: int = 0  # expected
    collect_s: float = 60.0  # expected
    traffic: Traffic = field(default_factory=Traffic)  # planned
    allow_cpu: bool = False
    accept_unguarded: bool = False
    secrets: tuple[str, ...] = ()  # names of what the machine is given over SSH
    grace_s: float = 60.0
    hold_s: float = 1800.0
    keep_s: float = 0.0  # how long the machine stays for a next job
    checkpoint_every_s: float = 900.0
    drill: bool = False  # nothing is shipped: the machine is only to end itself
    bucket: str = ""  # s3://… where results go; "": home
    bucket_endpoint: str = ""  # of another store than AWS
    bucket_region: str = ""
    bucket_profile: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Whom to ask again, and for what, until the run's `start_by_s`: no offer may fit now."""

    providers: tuple[str, ...]
    need: Need
    footprint: Footprint | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run did not do what was asked."""

    code: str
    problem: str
    hint: str = ""
    exit_code: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a fresh process needs to go on. Times are epoch seconds."""

    id: str
    name: str
    kind: str
    job: dict[str, object]
    job_hash: str
    launch: Launch
    candidates: tuple[Candidate, ...]
    cap_usd: Decimal
    max_duration_s: float
    created_s: float
    start_by_s: float
    state_since_s: float
    state: State = State.PLANNED
    version: int = 0
    wish: Wish = Wish.GO_ON
    leases: tuple[Lease, ...] = ()
    next_candidate: int = 1
    order: Order | None = None  # with --wait: ask again when every candidate was tried
    asked_s: float = 0.0  # the last time that it was asked again
    dropped: int = 0  # leases of refused creates that are not kept any more
    device: str = ""  # cuda | cpu, once it is known
    outcome: Outcome | None = None
    failure: Failure | None = None
    phases_s: dict[str, float] = field(default_factory=dict)
    waiting: str = ""
    notes: tuple[str, ...] = ()
    progress: dict[str, float] = field(default_factory=dict)
    progress_metrics: dict[str, float] = field(default_factory=dict)
    losses: Losses = ()  # over all machines that worked
    metrics: dict[str, float | str] = field(default_factory=dict)
    event_offset: int = 0
    told: int = 0  # things that its machines had to say to the person
    log_base: int = 0  # bytes of the log at home from earlier machines
    heard_s: float = 0.0  # last sign of life of the agent
    stop_asked_s: float | None = None
    stop_reason: str = ""
    exit: dict[str, object] = field(default_factory=dict)  # the agent's exit record
    exit_seen_s: float | None = None
    manifest_ready: bool = False
    kept_until_s: float = 0.0
    upload: str = ""  # to the bucket: sending | failing | complete
    upload_problem: str = ""
    upload_left_bytes: int = 0
    uploaded_s: float = 0.0  # when a machine that is gone said that all is there
    slots_sent_s: float = 0.0  # last time that the machine got URLs to write to
    unsettled: bool = False  # the bucket is to be looked at once the machine is gone
    brought_home: bool = False  # the bucket did not take them
    checkpoint: str = ""  # newest complete one on the machine
    checkpoint_home: str = ""  # newest one at home
    checkpoint_pulled_s: float = 0.0
    artifacts: tuple[tuple[str, int, str], ...] = ()  # path, bytes, sha256
    artifacts_missing: tuple[str, ...] = ()
    ended_s: float | None = None

    @property
    def bucket_folder(self) -> str:
        """Where in object storage the run's results go; "" where they come home."""
        return f"{self.launch.bucket}/{self.name}-{self.id}" if self.launch.bucket else ""

    @property
    def lease(self) -> Lease | None:
        """The lease in use: the last one."""
        return self.leases[-1] if self.leases else None

    @property
    def next_number(self) -> int:
        """The number of the next lease, the dropped ones counted; its label has two digits."""
        return (self.dropped + len(self.leases)) % 36**2

    @property
    def is_open(self) -> bool:
        return self.state is not State.ENDED or any(lease.is_open for lease in self.leases)

    @property
    def known_until_s(self) -> float:
        """The latest moment that its driver wrote down: it is later than that by now."""
        times = [self.state_since_s, self.heard_s]
        for lease in self.leases:
            known = (lease.sent_s, lease.delete_asked_s, lease.unknown_s, lease.missed_s)
            times += [at_s for at_s in known if at_s is not None]
        return max(times)

    @property
    def returning(self) -> tuple[Lease, ...]:
        """Leases whose machine is on its way back."""
        return tuple(lease for lease in self.leases if lease.state.value == "returning")

    def move(self, state: State, now_s: float, **changes: object) -> Run:
        """The run in another state, with the time of the old one counted to its phase."""
        check_move(self.state, state)
        phases_s = dict(self.phases_s)
        if phase := PHASES.get(self.state):
            phases_s[phase] = phases_s.get(phase, 0.0) + max(0.0, now_s - self.state_since_s)
        moved = replace(
            self,
            state=state,
            state_since_s=now_s,
            phases_s=phases_s,
            waiting="",
            **changes,  # type: ignore[arg-type]
        )
        return replace(moved, ended_s=now_s) if state is State.ENDED else moved

    def with_lease(self, lease: Lease) -> Run:
        """The run with this lease in place of the one with its key, or added at the end."""
        keys = [known.key for known in self.leases]
        if lease.key not in keys:
            return replace(self, leases=(*self.leases, lease))
        leases = list(self.leases)
        leases[keys.index(lease.key)] = lease
        return replace(self, leases=tuple(leases))

    def with_extra(self, lease: Lease) -> Run:
        """The run with a second machine under a label, kept behind the one in use."""
        return replace(self, leases=(lease, *self.leases))

    def note(self, text: str) -> Run:
        """The run with one more thing that a person must know; said once."""
        if text in self.notes:
            return self
        return replace(self, notes=(*self.notes, text)[-20:])

    def upper_usd(self, now_s: float) -> Decimal:
        return sum((lease.upper_usd(now_s) for lease in self.leases), Decimal(0))

    def cost_usd(self, now_s: float) -> Decimal:
        return sum((lease.cost_usd(now_s) for lease in self.leases), Decimal(0))

    def burn_usd_per_hour(self) -> Decimal:
        """Dollars an hour that its machines burn now."""
        held = (lease for lease in self.leases if lease.is_open and lease.bills and lease.sent_s)
        return sum(
            (max(lease.usd_per_hour, lease.offer.price.usd_per_hour) for lease in held), Decimal(0)
        )
