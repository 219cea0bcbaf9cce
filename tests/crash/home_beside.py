"""Another home that acts on the same accounts at the same time, and whose driver may die too."""

from __future__ import annotations

import shutil

from orchestrator.errors import GpuleaseError
from tests.crash.acts import Act
from tests.crash.life import FILES, Killed
from tests.crash.stage import Process, Stage, Violation

_HOME_ID = "beside"
_POINTS = 250  # of a life: it dies at one of them, if it comes so far
_RESTART_S = 5.0
_SUBMIT_AGAIN_S = 60.0
_STEPS = 4000


class HomeBeside:
    """Its own store, its own driver, and one run of the same job."""

    def __init__(self, first: Stage, tries: int = 1) -> None:
        """`tries`: how often its person submits, where the cloud cannot even be asked."""
        home = first.home.parent / _HOME_ID
        home.mkdir()
        shutil.copyfile(first.home.parent / "elsewhere.sqlite", home / "gpulease.sqlite")
        self.stage = Stage(
            first.cloud,
            first.clock,
            first.fleet,
            home,
            first.job,
            pace_s=first.pace_s,
            providers=first.providers,
            home_id=_HOME_ID,
            homes=first.homes,
        )
        self.is_over = False
        self._first = first
        self._tries = tries
        self._dies_at: int | None = first.chance.randrange(_POINTS)
        self._process: Process | None = None
        self._driver: Process | None = None  # the same, once it has submitted
        self._due_s = 0.0

    def act(self) -> None:
        """A step of its driver, where it is time for one."""
        clock = self.stage.clock
        if self.is_over or clock.awake_s() < self._due_s:
            return
        self.stage.look()
        process = self._process or Process(self.stage, self._dies_at)
        try:
            with FILES.of(process.life, self.stage.home):
                seconds = self._step(process)
        except Killed:
            process.end()
            self._process, self._dies_at, seconds = None, None, _RESTART_S
        else:
            self._process, self.is_over = process, seconds is None
        if self.is_over:
            process.end()
        self._due_s = clock.awake_s() + (seconds or 0.0)

    def finish(self, meddle: Act) -> None:
        """Let it end, in the weather that there is for the first. Raises: Violation."""
        for _ in range(_STEPS):
            meddle(self._first)
            self.act()
            if self.is_over:
                return
            self.stage.clock.advance(max(0.01, self._due_s - self.stage.clock.awake_s()))
        raise Violation(f"the other home's run does not end: {self.stage.run.state}")

    def _step(self, process: Process) -> float | None:
        if not self.stage.is_recorded() and not self._submits(process):
            return _SUBMIT_AGAIN_S
        if process is not self._driver:
            process.begin()
            self._driver = process
        return process.step()

    def _submits(self, process: Process) -> bool:
        """Raises what a submit raises, the last time."""
        self._tries -= 1
        try:
            process.submit()
        except GpuleaseError:
            if self._tries <= 0:
                raise
            return False
        return True


def home_beside(stage: Stage) -> None:
    """From now on another home is there too."""
    stage.beside.append(HomeBeside(stage))


def act_beside(stage: Stage) -> None:
    """A step of each other home's driver, where it is time for one."""
    for other in stage.beside:
        other.act()
