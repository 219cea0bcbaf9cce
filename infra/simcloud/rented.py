"""One rented machine: its life, its log and its meter."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_UP, Decimal
from enum import StrEnum

from infra.simcloud.faults import Fault
from infra.simcloud.machines import Boot, Process
from infra.simcloud.net import Relay, Traffic
from infra.simcloud.stock import Stock

_MICRO = Decimal("0.000001")
_GB = 10**9
_KEPT_LINES = 10_000


class Phase(StrEnum):
    """Where a machine is in its life."""

    PLACED = "placed"  # a host was found; bills from here
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"  # its host is; only its record is left
    ENDED = "ended"


class EndedBy(StrEnum):
    """Who ended a machine."""

    API = "api"  # a key of the account
    SELF = "self"  # the machine's own key
    PROVIDER = "provider"  # the host was lost, or the account is empty


@dataclass(slots=True)
class Span:
    """A stretch of time at one rate; `until_s` None: still going on."""

    since_s: float
    until_s: float | None
    usd_per_hour: Decimal
    disk_usd_per_hour: Decimal  # the part of it that is for disk
    increment_s: int = 1

    def end_s(self, now_s: float) -> float:
        """When it ends, on the grid of whole billed increments."""
        increments = math.ceil(max(0.0, round(self._seconds(now_s) / self.increment_s, 6)))
        return self.since_s + increments * self.increment_s

    def usd(self, now_s: float, *, disk_until_s: float = -math.inf) -> Decimal:
        """What it cost until now, where the disk was paid for until then by a span before it."""
        compute_usd = self.usd_per_hour - self.disk_usd_per_hour
        compute_s = round(self.end_s(now_s) - self.since_s)
        disk_s = round(self.disk_until_s(now_s, disk_until_s) - max(self.since_s, disk_until_s))
        return (compute_usd * compute_s + self.disk_usd_per_hour * disk_s) / 3600

    def disk_until_s(self, now_s: float, until_s: float) -> float:
        """Until when its disk is paid for: it is one disk, however often its machine starts."""
        rest = replace(self, since_s=max(self.since_s, until_s))
        return rest.end_s(now_s)

    def _seconds(self, now_s: float) -> float:
        return (now_s if self.until_s is None else self.until_s) - self.since_s


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that the machine (`container`) or its host (`system`) wrote."""

    number: int
    at_s: float
    source: str
    text: str


class MachineLog:
    """The newest lines, and a way to wait for more."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Condition()
        self._number = 0

    def write(self, at_s: float, source: str, text: str) -> None:
        """Append a line."""
        with self._changed:
            self._number += 1
            self._lines.append(LogLine(self._number, at_s, source, text))
            self._changed.notify_all()

    def lines(self) -> list[LogLine]:
        """All that is kept."""
        with self._changed:
            return list(self._lines)

    def follow(self, after: int, tick_s: float) -> Iterator[LogLine | None]:
        """Lines behind number `after`, without end; None whenever `tick_s` went by without."""
        while True:
            with self._changed:
                new = [line for line in self._lines if line.number > after]
                if not new and not self._changed.wait(tick_s):
                    new = []
            for line in new:
                after = line.number
                yield line
            if not new:
                yield None


@dataclass(slots=True)
class Rented:
    """A machine, from the moment it was placed; kept for ever."""

    id: str
    provider: str
    account: str
    label: str
    stock: Stock
    gpu_count: int
    usd_per_hour: Decimal
    disk_usd_per_hour: Decimal
    stopped_usd_per_hour: Decimal
    usd_per_gb_in: Decimal
    usd_per_gb_out: Decimal
    boots_free: bool
    keeps_disk: bool
    stays_when_lost: bool
    starting_share: float
    ssh_share: float
    boot_factor: float
    billing_increment_s: int
    is_container: bool
    own_address: tuple[str, int] | None
    created_s: float
    data_center: str | None
    backend: str
    details: dict[str, object] = field(default_factory=dict)  # only its provider's API reads it
    faults: Mapping[str, Fault] = field(default_factory=dict)  # that were drawn when it was rented
    boot: Boot | None = None
    to_boot: Callable[[], Boot] | None = None  # how it starts anew
    phase: Phase = Phase.PLACED
    shown_phase: Phase = Phase.PLACED  # as a list that lags shows it
    starting_at_s: float = math.inf
    running_at_s: float = math.inf
    due_s: float = math.inf  # it is to run by then, if nothing goes wrong
    started_s: float | None = None
    ssh_open_at_s: float = math.inf
    has_address: bool = True
    address_from_s: float = -math.inf
    never_starts: bool = False  # its provider calls it running, and there is nothing in it
    pull_error: str = ""  # what its host says again and again instead of starting it
    pull_error_at_s: float = -math.inf
    has_proxy: bool = False
    fails_at_s: float = math.inf
    stops_at_s: float = math.inf
    vanishes_at_s: float = math.inf
    moves_at_s: float = math.inf  # its host starts it anew
    returns_after_s: float = math.inf  # of each life: its command returns
    restart_at_s: float = math.inf
    life: int = 0  # how often its command was started
    life_began_s: float = math.inf
    disks: int = 1  # how many disks it had: what was on an earlier one is lost
    last_change: str = "Rented by User"
    changed_s: float = 0.0
    stop_reason: str = ""  # of a stop that the provider makes
    without_gpus: bool = False
    shows_stale_runtime: bool = False
    old_port: int | None = None  # shown instead of `ssh_port` until `old_port_until_s`
    old_port_until_s: float = -math.inf
    ended_s: float | None = None
    ended_by: EndedBy | None = None
    process: Process | None = None
    ssh: Relay | None = None
    proxy: Relay | None = None  # another way to its sshd
    links: dict[str, Relay] = field(default_factory=dict)  # its ways to the cloud's servers
    ssh_port: int | None = None
    is_cut: bool = False
    spans: list[Span] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    log: MachineLog = field(default_factory=MachineLog)

    @property
    def alive(self) -> bool:
        """Whether it exists, for its provider."""
        return self.phase is not Phase.ENDED

    @property
    def is_up(self) -> bool:
        """Whether its command runs now."""
        return self.phase is Phase.RUNNING and self.restart_at_s == math.inf

    def shown_port(self, now_s: float) -> int | None:
        """The port at which its provider says that it is reached."""
        return self.old_port if now_s < self.old_port_until_s else self.ssh_port

    def shows_address(self, now_s: float) -> bool:
        """Whether its provider says where it is reached."""
        return self.has_address and now_s >= self.address_from_s

    def bill_usd(self, now_s: float) -> Decimal:
        """What it cost so far, in whole increments."""
        total, disk_until_s = self.traffic_usd(), -math.inf
        for span in self.spans:
            total += span.usd(now_s, disk_until_s=disk_until_s)
            disk_until_s = span.disk_until_s(now_s, disk_until_s)
        return total.quantize(_MICRO, ROUND_UP)

    def traffic_usd(self) -> Decimal:
        """What the bytes cost that went in and out."""
        usd_in = self.usd_per_gb_in * self.traffic.bytes_in
        return (usd_in + self.usd_per_gb_out * self.traffic.bytes_out) / _GB

    def amounts_usd(self, since_s: float, until_s: float, now_s: float) -> tuple[float, float]:
        """Dollars within a stretch of time, without traffic: all, and for disk."""
        total = disk = 0.0
        for span in self.spans:
            seconds = min(span.end_s(now_s), until_s) - max(span.since_s, since_s)
            if seconds > 0:
                total += float(span.usd_per_hour) * seconds / 3600
                disk += float(span.disk_usd_per_hour) * seconds / 3600
        return total, disk

    def rate_usd_per_hour(self) -> Decimal:
        """What it costs now."""
        going_on = (span.usd_per_hour for span in self.spans if span.until_s is None)
        return next(going_on, Decimal(0))

    def meter(self, now_s: float, usd_per_hour: Decimal, disk_usd_per_hour: Decimal) -> None:
        """From now on it costs this much."""
        for span in self.spans:
            if span.until_s is None:
                if (span.usd_per_hour, span.disk_usd_per_hour) == (usd_per_hour, disk_usd_per_hour):
                    return
                span.until_s = now_s
        if usd_per_hour:
            step_s = self.billing_increment_s
            self.spans.append(Span(now_s, None, usd_per_hour, disk_usd_per_hour, step_s))
