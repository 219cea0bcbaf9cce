"""One driver and many runs that train: what it costs, and how late it looks at each run's cap.

What the machines do is in memory, so that no more than the driver is measured; and once there are
a hundred real logins. A driver that keeps up looks at every run when it is due; one that does not
looks later, which is the lag.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from orchestrator.agent import protocol
from orchestrator.agent.protocol import encode
from orchestrator.clock import SystemClock
from orchestrator.errors import StaleRun
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.driver import Driver
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.keys import Keys
from orchestrator.lifecycle.world import Opened, World
from orchestrator.remote import ssh
from orchestrator.remote.shell import Reply, Shell
from orchestrator.runs.label import Label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State, Wish
from orchestrator.store.journal import Journal
from tests.benchmarks.ratio import Row, Unmeasured, unmeasured
from tests.lifecycle.clouds import SmallCloud, machine
from tests.lifecycle.worlds import NoCargo
from tests.remote.loopback_sshd import SSHD, LoopbackSshd
from tests.runs.samples import lease, run

MANY = (500, 1000, 2000)
LOGINS = 100
_STEP_S = 4.0  # between two steps that a program tells
_SETTLES_S = 8.0
_WINDOW_S = 20.0
_ENDS_S = 240.0
_GROWTH = 1.25


@dataclass
class Training(Shell):
    """A machine's folder in memory: its program makes a step now and then, and tells it."""

    began_s: float = field(default_factory=time.time)
    said: bytes = b""

    def read(self, path: str, offset: int, limit: int) -> bytes:
        if path != protocol.EVENTS_FILE:
            return b""
        for step in range(self.said.count(b"\n"), int((time.time() - self.began_s) / _STEP_S)):
            self.said += _progress(step)
        return self.said[offset : offset + limit]

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        return Reply(0, encode({"agent_alive": True}), b"")

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        raise AssertionError(f"nobody writes {path}")

    def push(self, stream: Iterable[bytes]) -> None:
        raise AssertionError("nothing is sent")

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        pass


class Folders(NoCargo):
    """Where each run's log lies; nothing is sent."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def folder(self, run: Run) -> Path:
        return self._home / "runs" / run.id


class Account(SmallCloud):
    """A cloud in memory that says whose it is: only then is a machine proven gone."""

    def identity(self) -> str:
        return "user:u1"

    def balance_usd(self) -> None:
        return None


class Looks(Engine):
    """Keeps how much later than due each run was looked at."""

    def __init__(self, journal: Journal, world: World) -> None:
        super().__init__(journal, world)
        self.lags_s: list[float] = []
        self._due_s: dict[str, float] = {}

    def drive(self, run_id: str) -> float | None:
        now_s = time.monotonic()
        if run_id in self._due_s:
            self.lags_s.append(max(0.0, now_s - self._due_s[run_id]))
        seconds = super().drive(run_id)
        self._due_s[run_id] = time.monotonic() + (seconds or 0.0)
        return seconds


@dataclass(frozen=True)
class Figures:
    """Of one driver, over the window."""

    runs: int
    cpu_s: float  # of each run's hour
    look_ms: float  # CPU of one look at one run
    lag_s: tuple[float, float]  # median, 99th percentile
    threads: int
    kib: float  # of memory for each run


def rows() -> Iterator[Row | Unmeasured]:
    first: Figures | None = None
    for many in MANY:
        found = measure(many, lambda number: Training())
        first = first or found
        yield from _rows(found, "in memory", first)
    if not Path(SSHD).exists():
        yield from unmeasured("sshd is not installed", f"{LOGINS} open runs over SSH")
        return
    with tempfile.TemporaryDirectory(prefix="gl-bench-") as place:
        server = LoopbackSshd(Path(place), extra_config="MaxStartups 200\nMaxSessions 20\n")
        server.start()
        try:
            found = measure(LOGINS, lambda number: _log_in(server, number))
        finally:
            server.stop()
    yield from _rows(found, "over SSH", None)


def _rows(found: Figures, where: str, first: Figures | None) -> Iterator[Row]:
    what = f"{found.runs:,} open runs {where}"
    beside = first.look_ms if first and first is not found else None
    against = f"with {first.runs} runs" if first and beside else ""
    limit = _GROWTH if beside else None
    yield Row(f"CPU of one look at one run, {what}", found.look_ms, beside, "ms", limit, against)
    yield Row(f"CPU of the driver for one run's hour, {what}", found.cpu_s, None, "s")
    for name, lag_s in zip(("median", "99th percentile"), found.lag_s, strict=True):
        yield Row(f"how late a run is looked at, {name}, {what}", lag_s, None, "s")
    yield Row(f"memory of the driver for each run, {what}", found.kib, None, "KiB")
    yield Row(f"threads of the driver, {what}", found.threads, None, "")


def measure(many: int, open_shell: Callable[[int], Shell]) -> Figures:
    """Drive `many` runs in their programs for a while, then end them all."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gl-bench-")))
        clock = SystemClock()
        journal = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
        stack.callback(journal.close)
        before_kib = _rss_kib()
        runs = [_training(number, clock.now_s()) for number in range(many)]
        cloud = Account([machine(f"m{n}", one.leases[0].label) for n, one in enumerate(runs)])
        shells = {one.leases[0].key: n for n, one in enumerate(runs)}
        for one in runs:
            (home / "runs" / one.id).mkdir(parents=True)
            journal.add(one, [], lambda standing: None, 0.0)

        def log_in(run: Run, lease: Lease) -> Opened:
            return Opened(open_shell(shells[lease.key]), "key")

        world = World(
            clock=clock,
            home_id="homeid",
            cargo=Folders(home),
            accounts=Accounts(lambda _: cloud, clock),
            open_shell=log_in,
            wish_of=lambda run_id: journal.run(run_id).wish,
        )
        engine = Looks(journal, world)
        driver = Driver(journal, engine, clock, home, Keys(lambda _: None))
        served = threading.Thread(target=driver.serve, daemon=True)
        served.start()
        figures = _watch(engine, many, before_kib)
        for one in runs:
            _end(journal, one.id)
        served.join(_ENDS_S)
        assert not journal.open_ids() and not cloud.machines, "something is left"
    return figures


def _watch(engine: Looks, many: int, before_kib: float) -> Figures:
    time.sleep(_SETTLES_S)
    engine.lags_s.clear()
    began_s, cpu_s = time.monotonic(), time.process_time()
    time.sleep(_WINDOW_S)
    cpu_s, took_s = time.process_time() - cpu_s, time.monotonic() - began_s
    parts = quantiles(engine.lags_s, n=100)
    return Figures(
        many,
        cpu_s / (many * took_s / 3600),
        1000 * cpu_s / len(engine.lags_s),
        (parts[49], parts[98]),
        threading.active_count(),
        (_rss_kib() - before_kib) / many,
    )


def _training(number: int, now_s: float) -> Run:
    run_id = f"r{number:07d}"
    label = str(Label("homeid", run_id, 0, int(now_s), int(now_s + 7200)))
    held = lease(
        label,
        run_id=run_id,
        state=LeaseState.HELD,
        machine_id=f"m{number}",
        account="user:u1",
        deadline_s=now_s + 7200,
        stop_s=now_s + 3600,
        sent_s=now_s,
        began_s=now_s,
    )
    return run(
        run_id,
        state=State.RUNNING,
        created_s=now_s,
        state_since_s=now_s,
        heard_s=now_s,
        leases=(held,),
    )


def _end(journal: Journal, run_id: str) -> None:
    while True:
        try:
            journal.wish(run_id, Wish.CANCEL_NOW)
            return
        except StaleRun:
            continue


def _progress(step: int) -> bytes:
    return encode({"at": time.time(), "event": "progress", "step": step, "steps": 900, "loss": 1.0})


def _log_in(server: LoopbackSshd, number: int) -> Shell:
    key = server.login_key.private_path
    return ssh.connect(server.server, key, server.host_key, f"gpulease/r{number}", 20.0)


def _rss_kib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024
