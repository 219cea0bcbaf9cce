"""The agent while it lives: job, samples, checkpoints, stop file, deadline, hold."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Mapping

from . import protocol
from .bucket import BucketCopy
from .checkpoints import CheckpointWatch
from .clock import Clock
from .deadline import Deadline
from .environment import base_environment
from .guard import Guard
from .here import list_here
from .host import Host
from .job import Job, Tools
from .log import Log
from .processes import Children
from .records import Events, Reserve, read_record
from .runfile import RunFile
from .runner import Runner
from .stopping import StopWish

_TICK_S = 0.25
_SLOW_TICKS = 4  # what need not be looked at each time
_COMPLAIN_TICKS = 240
_HOST_EVERY_S = 10.0
_FLUSH_S = 15.0  # kept before the deadline for exit record and manifest
_LAST_RECORDS_S = 10.0
_LONGEST_GRACE_S = 3600.0
_KEPT_SPARE_S = 60.0
_SETTLED_S = 4.0  # what is younger is not remembered
_LAST_LOOK_S = 20.0  # everything is in the bucket; whoever watches returns the machine in this time


class Daemon:
    """Runs one job, and sees to the end of the machine."""

    def __init__(
        self, work: Path, run: RunFile, machine: Mapping[str, str], task: str = "perform"
    ) -> None:
        """`task`: perform the job, or after an agent that died `resume` or `conclude` it."""
        base = {**base_environment(machine), "GPULEASE_LABEL": run.label}
        # Downloads obey the machine's proxies and certificates; nothing else is inherited.
        os.environ.clear()
        os.environ.update(base)
        self._work = work
        self._run = run
        self._clock = Clock(base.get("GPULEASE_CLOCK"))
        self._deadline = Deadline(work, run, self._clock)
        self._wish = StopWish(self._clock)
        self._children = Children()
        self._reserve = Reserve(work / protocol.RESERVE_FILE)
        self._events = Events(work / protocol.EVENTS_FILE, self._clock, self._reserve)
        self._checkpoints = CheckpointWatch(work, self._events)
        self._guard = Guard(work, machine, self._children)
        log = Log(work / protocol.LOG_FILE, run.log_limit_bytes)
        runner = Runner(self._children, log, self._wish)
        self._host = Host(work, base, Runner(self._children, log, self._wish))
        tools = Tools(
            self._clock,
            log,
            self._events,
            self._reserve,
            self._children,
            self._wish,
            runner,
            self._checkpoints,
        )
        self._job = Job(work, run, base, tools)
        tasks = {"resume": self._job.resume, "conclude": self._job.conclude}
        self._perform = tasks.get(task, self._job.perform)
        self._bucket: BucketCopy | None = None
        if run.upload is not None:
            self._bucket = BucketCopy(work, run, self._clock, self._events, self._job.over)
        self._fetched_s: float | None = None
        self._was_read = False
        self._last_sent_s = 0.0
        self._last_sent_ns = 0
        self._ending = ""

    def live(self) -> None:
        """Run the job and stay until the machine ends, or until nothing is left to do here."""
        signal.signal(signal.SIGHUP, _ignore)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, _ignore)
        job = threading.Thread(target=self._perform, daemon=True)
        job.start()
        threading.Thread(target=self._sample, daemon=True).start()
        if self._bucket is not None:
            self._bucket.start()
        ticks = 0
        while (self._work / protocol.PID_FILE).exists():
            try:
                if self._tick(slow=ticks % _SLOW_TICKS == 0):
                    break
            except Exception:  # whatever it was: without these looks nobody ends the machine
                if not ticks % _COMPLAIN_TICKS:
                    traceback.print_exc()
            ticks += 1
            time.sleep(_TICK_S)
        if self._bucket is not None:
            self._bucket.stop()
        self._children.kill_all()
        job.join(_LAST_RECORDS_S)

    def _tick(self, *, slow: bool) -> bool:
        """One look at everything; true when the agent's work here is done."""
        self._children.reap()
        self._obey_stop_file()
        self._obey_deadline()
        if slow:
            self._checkpoints.look()
            if self._run.ends_machine:
                self._guard.keep_alive()
        if not self._ending:
            self._ending = self._why_to_end()
            if self._ending:
                self._events.add("ending", why=self._ending)
                self._reserve.give_up()
        if not self._ending:
            return False
        if not self._run.ends_machine:
            return True
        if slow:
            self._guard.end_machine()
        return False

    def _obey_stop_file(self) -> None:
        path = self._work / protocol.STOP_FILE
        if self._job.over.is_set() or not path.exists():
            return
        record = read_record(path) or {}
        grace_s, reason = record.get("grace_s"), record.get("reason")
        if isinstance(grace_s, bool) or not isinstance(grace_s, (int, float)):
            grace_s = self._run.grace_s
        grace_s = min(max(0.0, float(grace_s)), _LONGEST_GRACE_S)
        self._wish.ask(protocol.WHY_STOPPED, grace_s, reason if isinstance(reason, str) else "")

    def _obey_deadline(self) -> None:
        left_s = self._deadline.left_s()
        if left_s <= self._run.grace_s + _FLUSH_S and not self._job.over.is_set():
            grace_s = max(0.0, min(self._run.grace_s, left_s - _FLUSH_S))
            self._wish.ask(protocol.WHY_DEADLINE, grace_s, "the machine's deadline came")
        elif left_s <= self._run.deadline_s - self._run.stop_s and not self._job.over.is_set():
            self._wish.ask(protocol.WHY_DEADLINE, self._run.grace_s, "the time for work is over")

    def _why_to_end(self) -> str:
        """Why the machine ends now; empty when it goes on."""
        if self._deadline.left_s() <= 0:
            return "deadline"
        if not self._job.over.is_set():
            return ""
        fetched = (self._work / protocol.FETCHED_FILE).exists()
        if fetched and not self._run.ends_machine:
            return "fetched"
        now_s = self._clock.elapsed_s()
        if fetched and self._run.keep_s:
            return self._why_to_end_kept(now_s)
        if self._was_sent():
            self._last_sent_s = now_s
        if self._bucket is not None and self._bucket.complete_s is not None:
            # Whoever watches may find the bucket lacking, and fetch from here after all.
            looked_s = max(self._bucket.complete_s, self._last_sent_s)
            if self._run.ends_machine and now_s - looked_s >= _LAST_LOOK_S:
                return "fetched" if fetched else "uploaded"
        elif self._bucket is not None:
            self._last_sent_s = max(self._last_sent_s, self._bucket.moved_s)
        if now_s - max(self._job.over_s, self._last_sent_s) < self._run.hold_s:
            return ""
        return "fetched" if fetched else "hold"

    def _why_to_end_kept(self, now_s: float) -> str:
        """The same for a machine that is kept; whoever keeps it ends it a moment earlier."""
        if self._fetched_s is None:
            self._fetched_s = now_s
        if not self._was_read and now_s - self._fetched_s >= _SETTLED_S:
            self._was_read = True
            # Now nothing else is to be done: the next job's files are compared sooner.
            arguments = (self._work, protocol.SENT_DIRS, io.BytesIO())
            threading.Thread(target=list_here, args=arguments, daemon=True).start()
        return "kept" if now_s - self._fetched_s >= self._run.keep_s + _KEPT_SPARE_S else ""

    def _was_sent(self) -> bool:
        """Whether `send` was at work since the last look."""
        try:
            sent_ns = (self._work / protocol.SENT_FILE).stat().st_mtime_ns
        except OSError:
            return False
        changed, self._last_sent_ns = sent_ns != self._last_sent_ns, sent_ns
        return changed

    def _sample(self) -> None:
        while not self._job.over.is_set():
            self._events.add("host", **self._host.sample())
            self._job.over.wait(_HOST_EVERY_S)

    def _on_terminate(self, *_: object) -> None:
        # In a thread: the handler may have interrupted whoever holds the wish's lock.
        arguments = (protocol.WHY_STOPPED, self._run.grace_s, "the agent got SIGTERM")
        threading.Thread(target=self._wish.ask, args=arguments, daemon=True).start()


def _ignore(*_: object) -> None:
    """Not SIG_IGN, which the program would inherit."""
