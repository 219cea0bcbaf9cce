"""The one background process of a home that moves its runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.keys import Keys
from orchestrator.lifecycle.talking import Line
from orchestrator.lifecycle.world import Again
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

_THREADS = 32  # an upload keeps one for hours
_LONG_STEP_S = 30.0  # then cap, deadline and wish are asked beside a step
_BESIDE_S = 5.0
_BESIDE_THREADS = 8
_LOOK_S = 1.0  # how often new runs are looked for without a nudge
_LINGER_S = 1.0
_LOOKS_PER_S = 200.0  # of all runs together; so a driver of thousands leaves most of a core alone
_ROUND_S_A_RUN = 1e-4  # pause between two rounds over all runs
_LONGEST_REST_S = 10.0  # below the tick that `must_stop` keeps for the next look at a cap
_FAILED_S = 30.0
_IDLE_LOOK_S = 30.0  # of a driver that stays although there is nothing to do
_FIRST_CLIENT_S = 2.0
_HOLD_BACK_S = 10.0  # so long nothing new is begun, of every
_OF_EACH_S = 30.0  # seconds that a successor waits: caps are kept meanwhile


@dataclass(slots=True)
class _Chore:
    """One chore, and how it stands."""

    do: Callable[[], Again]
    due_s: float = 0.0
    future: Future[Again] | None = None
    spell: int = -1  # of runs or of quiet, in which it was last begun
    stays: bool = True

    def end(self, now_s: float) -> None:
        """Take what the chore gave back."""
        assert self.future is not None
        try:
            again = self.future.result()
        except Exception:  # a chore never ends the driver
            log.exception("a chore failed")
            again = Again(_FAILED_S, stays=False)
        self.future, self.stays, self.due_s = None, again.stays, now_s + again.seconds


class Driver:
    """Drives every open run of a home until none is left, nor a chore to stay for."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        clock: Clock,
        folder: Path,
        keys: Keys,
        chores: Sequence[Callable[[], Again]] = (),
        *,
        version: str = "",
        stays: bool = False,
    ) -> None:
        """Nothing starts yet.

        Args:
            chores: done beside the runs, each when it asked to be, and once more when no run is
                open any longer.
            version: told to whoever asks.
            stays: although nothing is left to do; a service does.
        """
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._keys = keys
        self._folder = folder
        self._known: list[str] = []
        self._line = Line(folder, version, self._obey)
        engine.ends_soon(self._line.has_successor)
        self._stays = stays
        self._asked_s: float | None = None  # since when a successor waits
        self._chores = [_Chore(do) for do in chores]
        self._wake = threading.Event()
        self._met = threading.Event()
        self._due: dict[str, float] = {}
        self._busy: dict[str, Future[float | None]] = {}
        self._since_s: dict[str, float] = {}  # when the step of a busy run began
        self._beside: dict[str, Future[None]] = {}
        self._beside_s: dict[str, float] = {}  # when something was last done beside a long step
        self._nudged: set[str] = set()

    def serve(self) -> None:
        """Drive until no run is open, or a successor takes over. The caller holds `driver_lock`."""
        while True:
            with (
                self._line.open(),
                ThreadPoolExecutor(_THREADS, "drive") as pool,
                ThreadPoolExecutor(_BESIDE_THREADS, "beside") as beside,
            ):
                self._met.wait(_FIRST_CLIENT_S)  # whoever started this hands over its keys
                leaves = self._loop(pool, beside)
            # Somebody may have submitted a run, and been told that a driver lives, in its last
            # moment. Now that nobody is told so any more, one look is enough.
            if leaves or not self._open_ids():
                return

    def _loop(self, pool: ThreadPoolExecutor, beside: ThreadPoolExecutor) -> bool:
        """Until there is nothing to do, or, then true, for a successor."""
        idle_since_s: float | None = None
        spell = 0
        while True:
            self._wake.clear()
            now_s = self._clock.awake_s()
            self._reap()
            holds_back = self._holds_back(now_s)
            if holds_back and self._is_quiet() and self._line.leave(self._keys.all()):
                log.info("a newer driver takes over")
                return True
            open_ids = self._open_ids()
            if not holds_back:
                self._begin(pool, open_ids, now_s)
                self._look_beside(beside, now_s)
            has_runs = bool(open_ids or self._busy)
            spell += spell % 2 != has_runs  # odd while there are runs, even in quiet
            has_chores = holds_back or self._do_chores(pool, now_s, spell)
            if has_chores or has_runs or self._stays:
                idle_since_s = None
            elif idle_since_s is None:
                idle_since_s = now_s
            elif now_s - idle_since_s >= _LINGER_S:
                return False
            if holds_back:
                self._clock.wait(self._wake, _LOOK_S)
            else:
                self._clock.wait(self._wake, self._pause_s(open_ids, now_s, busy=has_chores))
            # Steps that end meanwhile share the next round.
            self._clock.wait(threading.Event(), len(open_ids) * _ROUND_S_A_RUN)

    def _open_ids(self) -> list[str]:
        """The runs to drive; those of the last look while the store cannot be read.

        A disk that fails for a moment must not leave machines that nobody watches.
        """
        try:
            self._known = self._journal.open_ids()
        except HomeError as error:
            if not self._folder.is_dir():
                raise
            log.warning("open runs cannot be looked for now: %s", error.problem)
        return self._known

    def _begin(self, pool: ThreadPoolExecutor, open_ids: Sequence[str], now_s: float) -> None:
        """One step of every run that is due."""
        for run_id in open_ids:
            due_s = 0.0 if run_id in self._nudged else self._due.get(run_id, 0.0)
            if run_id not in self._busy and due_s <= now_s:
                self._nudged.discard(run_id)
                future = pool.submit(self._engine.drive, run_id)
                self._busy[run_id], self._since_s[run_id] = future, now_s
                future.add_done_callback(lambda _: self._wake.set())

    def _look_beside(self, pool: ThreadPoolExecutor, now_s: float) -> None:
        """Look after every run whose step takes long: what answers it may be hostile."""
        for run_id in self._busy:
            due_s = self._beside_s.get(run_id, 0.0) + _BESIDE_S
            is_long = now_s - self._since_s[run_id] > _LONG_STEP_S
            if is_long and due_s <= now_s and run_id not in self._beside:
                self._beside[run_id] = pool.submit(self._engine.drive_beside, run_id)

    def _pause_s(self, open_ids: Sequence[str], now_s: float, *, busy: bool) -> float:
        """How long nothing is due, at most until the next look for new runs."""
        if not open_ids and not busy and self._stays:
            return _IDLE_LOOK_S
        soonest_s = min(
            [self._due.get(one, now_s) for one in open_ids if one not in self._busy],
            default=now_s + _LOOK_S,
        )
        return max(0.01, min(_LOOK_S, soonest_s - now_s))

    def _holds_back(self, now_s: float) -> bool:
        """Whether nothing new is to begin, so that a successor can take over between effects."""
        if not self._line.has_successor():
            self._asked_s = None
            return False
        if self._asked_s is None:
            self._asked_s = now_s
        return (now_s - self._asked_s) % _OF_EACH_S < _HOLD_BACK_S

    def _is_quiet(self) -> bool:
        chores = [chore.future for chore in self._chores if chore.future is not None]
        steps = [*(one.done() for one in self._busy.values()), *(one.done() for one in chores)]
        return all(steps) and all(one.done() for one in self._beside.values())

    def _do_chores(self, pool: ThreadPoolExecutor, now_s: float, spell: int) -> bool:
        """Begin what is due; whether a driver without runs has to stay for any of it."""
        for chore in self._chores:
            if chore.future is not None and chore.future.done():
                chore.end(now_s)
            if chore.future is None and (chore.due_s <= now_s or chore.spell != spell):
                chore.spell = spell
                chore.future = pool.submit(chore.do)
                chore.future.add_done_callback(lambda _: self._wake.set())
        return any(chore.future is not None or chore.stays for chore in self._chores)

    def _reap(self) -> None:
        for run_id, future in list(self._busy.items()):
            if not future.done():
                continue
            del self._busy[run_id]
            try:
                seconds = future.result()
            except HomeError as error:  # a store that cannot be written now may be later
                log.warning("a run could not be moved: %s run=%s", error.problem, run_id)
                seconds = 5.0
            except Exception:
                log.exception("a run could not be moved run=%s", run_id)
                seconds = 5.0
            self._due[run_id] = self._clock.awake_s() + rest_s(seconds or 0.0, len(self._known))
        for run_id, beside in list(self._beside.items()):
            if not beside.done():
                continue
            del self._beside[run_id]
            self._beside_s[run_id] = self._clock.awake_s()
            if fault := beside.exception():
                log.error("a long step cannot be overtaken run=%s", run_id, exc_info=fault)

    def _obey(self, message: Mapping[str, object]) -> None:
        keys = message.get("keys")
        if isinstance(keys, dict):
            self._keys.take({str(name): str(value) for name, value in keys.items()})
        if isinstance(nudge := message.get("nudge"), str):
            self._nudged.add(nudge)
        self._met.set()
        self._wake.set()


def rest_s(asked_s: float, open_runs: int) -> float:
    """How long a run is left alone that asked for so long: longer when there are many.

    What is to go on at once does so, however many there are.

    >>> rest_s(0.5, 1), rest_s(0.5, 1000), rest_s(30.0, 1000), rest_s(0.0, 1000)
    (0.5, 5.0, 30.0, 0.0)
    >>> rest_s(0.5, 100_000)
    10.0
    """
    return max(asked_s, min(_LONGEST_REST_S, open_runs / _LOOKS_PER_S)) if asked_s else 0.0


def count_on(journal: Journal, clock: SystemClock) -> dict[str, str | float]:
    """Go on from the time that the home's last driver knew; gives what the next one needs of this.

    What went by for open runs stays gone by, though the wall clock was set back since.
    """
    since_s = clock.now_s()
    if runs := journal.runs(only_open=True):
        since_s = max(run.known_until_s for run in runs)
        clock.count_on(json.loads(journal.get_meta("driver") or "{}"), since_s)
    return clock.to_record(since_s)


@contextlib.contextmanager
def driver_lock(folder: Path, *, waits: bool = False) -> Iterator[bool]:
    """Whether this process is now the only driver of the home; held until the block ends.

    Args:
        waits: until the lock is free, however long that takes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "driver.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def driver_lives(folder: Path) -> bool:
    """Whether some process drives this home."""
    with driver_lock(folder) as free:
        return not free
