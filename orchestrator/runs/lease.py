"""A lease: one machine from intent to proof. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from orchestrator.budget.price import Price
from orchestrator.budget.traffic import Traffic
from orchestrator.offers.offer import Offer
from orchestrator.runs.label import parse_label
from orchestrator.runs.states import LeaseState, check_lease_move

TOMBSTONE_WATCH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The durable record of one machine, or of the attempt to rent one. Times are epoch seconds."""

    key: str  # the label; for a second machine under one label, label/machine id
    label: str
    run_id: str
    provider: str
    account: str  # identity that rents; absence under another one proves nothing
    offer: Offer
    deadline_s: float  # the label's: by then the machine has ended itself
    stop_s: float  # by then the program is asked to stop, so that results can come home
    capped: bool = False  # the cap, and not max_duration, set stop_s
    bills: bool = True
    increment_s: int = 1
    state: LeaseState = LeaseState.INTENDED
    version: int = 0
    intent: str = ""  # token of the process that may create under this label
    sent_s: float | None = None  # create may have been sent from here on
    machine_id: str | None = None
    began_s: float | None = None  # the provider's billing starts
    usd_per_hour: Decimal = Decimal(0)
    idle_usd_per_hour: Decimal | None = None  # until it runs; None: the whole rate from the start
    ran_s: float | None = None  # since when it runs, as far as it was seen
    traffic: Traffic = field(default_factory=Traffic)
    ssh_host: str = ""
    ssh_port: int = 0
    ssh_user: str = ""
    folder: str = ""  # instead of SSH: a folder of this computer
    host_key: str = ""
    host_key_by: str = ""
    guard: str = ""
    did_work: bool = False
    failed_boot_s: float | None = None  # it never came up, or not as it was sold
    reclaimed_s: float | None = None  # a higher bid took it: since when it is known to be stopped
    region: str = ""  # where the machine stands, as far as its provider says
    why_ended: str = ""
    taken_from: str = ""  # the run that rented the machine, or had it before, and kept it
    handed_to: str = ""  # the run that went on with it
    return_since_s: float | None = None  # the first time that it was asked to end
    delete_tries: int = 0
    delete_asked_s: float | None = None
    delete_accepted_s: float | None = None
    unknown_s: float | None = None  # since when the provider says by id that it is gone
    misses: int = 0  # full proofs of absence so far
    missed_s: float | None = None
    unreached_s: float | None = None  # since when an own computer has not answered
    gone_s: float | None = None
    returned_by: str = ""  # provider | machine | user
    billed_usd: Decimal | None = None  # the provider's own records, where it has some
    bound_usd: Decimal | None = None  # an upper figure that is proven by other means than time
    watch_until_s: float = 0.0  # a tombstone is looked for until then
    balance_usd: Decimal | None = None  # of the account, when it was last read
    balance_warned: bool = False
    pulled_bytes: int = 0  # of results that came home from it
    pulled_s: float = 0.0  # in so many seconds, sleep and pauses not counted

    @property
    def is_open(self) -> bool:
        """A machine may bill under this lease."""
        return self.state in (LeaseState.INTENDED, LeaseState.HELD, LeaseState.RETURNING)

    @property
    def has_machine(self) -> bool:
        return self.machine_id is not None

    @property
    def is_lost(self) -> bool:
        """Whether a create may have been sent under it, and no machine ever appeared."""
        is_watched = self.state is LeaseState.TOMBSTONE and self.watch_until_s > 0
        return is_watched and not self.has_machine

    @property
    def connection(self) -> str:
        """The machine, whoever's lease it is under: what a connection to it is known by."""
        return f"{self.label}/{self.machine_id}"

    @property
    def was_reached(self) -> bool:
        """Somebody logged in: what was to be sent may have been, though no work came of it."""
        return self.did_work or bool(self.host_key_by)

    @property
    def latest_s(self) -> float:
        """The deadline in the label, which the machine itself keeps, whatever else is said."""
        label = parse_label(self.label)
        return float(label.deadline_s) if label else self.deadline_s

    def move(self, state: LeaseState, **changes: object) -> Lease:
        """The lease in another state; IllegalMove when the table has no such move."""
        check_lease_move(self.state, state, bills=self.bills)
        return replace(self, state=state, **changes)  # type: ignore[arg-type]

    def with_pulled(self, size_bytes: int, seconds: float) -> Lease:
        """The lease after some more of its results came home."""
        return replace(
            self,
            pulled_bytes=self.pulled_bytes + size_bytes,
            pulled_s=self.pulled_s + seconds,
        )

    def upper_usd(self, now_s: float) -> Decimal:
        """What it costs at most so far: create sent to proven gone, rounded up."""
        if not self.bills or self.sent_s is None:
            return Decimal(0)
        if self.state is LeaseState.TOMBSTONE:
            return self.bound_usd or Decimal(0)
        end_s = self.gone_s if self.gone_s is not None else now_s
        usd = self._price().for_seconds(end_s - self.sent_s, increment_s=self.increment_s)
        usd += self.traffic.upper_usd(self.offer.price, worked=self.was_reached)
        usd = usd if self.bound_usd is None else min(usd, self.bound_usd)
        return max(usd, self.billed_usd or usd)

    def cost_usd(self, now_s: float) -> Decimal:
        """What it costs by the provider's own rule, at the rate that it named for the machine."""
        if not self.bills or self.began_s is None:
            return Decimal(0)
        if self.billed_usd is not None:
            return self.billed_usd
        known = (self.delete_accepted_s, self.unknown_s, self.gone_s)
        ends = [end_s for end_s in known if end_s is not None]
        end_s = min(ends) if ends else now_s
        price, began_s = Price(self.usd_per_hour or self.offer.price.usd_per_hour), self.began_s
        usd = self.traffic.cost_usd(self.offer.price, worked=self.was_reached)
        if self.idle_usd_per_hour is not None:
            ran_s = min(end_s, max(began_s, end_s if self.ran_s is None else self.ran_s))
            usd += Price(self.idle_usd_per_hour).for_seconds(ran_s - began_s)
            began_s = ran_s
        if self.reclaimed_s is not None:  # from then on its disk alone is charged
            stopped_s = min(end_s, max(began_s, self.reclaimed_s))
            usd += Price(self.offer.price.disk_usd_per_hour).for_seconds(end_s - stopped_s)
            end_s = stopped_s
        return usd + price.for_seconds(end_s - began_s, increment_s=self.increment_s)

    def abandoned_usd(self, now_s: float) -> Decimal:
        """What was spent on this machine without any work of the job."""
        return Decimal(0) if self.did_work else self.upper_usd(now_s)

    def _price(self) -> Price:
        return Price(max(self.usd_per_hour, self.offer.price.usd_per_hour))
