"""Tells a story again and again, with the driver killed at another point each time."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.simcloud.cloud import SimCloud
from orchestrator.spec.load import load_job
from orchestrator.store.journal import Journal
from tests.crash.fleet import Fleet, StageClock
from tests.crash.invariants import check
from tests.crash.life import deaths
from tests.crash.stage import Process, Stage, Violation
from tests.crash.stories import Story
from tests.crash.uploads import TO
from tests.simcloud.described import Compared

_JOB = """\
kind: finetune
name: trainer
code: {{path: own, command: python train.py}}
accept_unguarded: {unguarded}
spot: {spot}
gpu: {{memory_gib: 12}}
budget: {{max_cost: {max_cost}, max_duration: {max_duration}}}
artifacts: {{hold: {hold}{to}}}
checkpoints: {{every: {every}}}
"""


class Theatre:
    """One story's cloud and job, for as many performances as wanted."""

    def __init__(self, story: Story, folder: Path, process: type[Process] = Process) -> None:
        self.story = story
        self._folder = folder
        self._process = process
        self.met: set[tuple[str, str, str]] = set()  # faults that came true, in the last one
        (folder / "own").mkdir()
        (folder / "own" / "train.py").write_text("print('trained')\n")
        job = folder / "job.yaml"
        to = f", to: '{TO}'" if story.bucket else ""
        text = _JOB.format(
            max_cost=story.max_cost,
            max_duration=story.max_duration,
            hold=story.hold,
            to=to,
            every=story.every,
            unguarded="true" if story.unguarded else "false",
            spot="true" if story.spot else "false",
        )
        job.write_text(text)
        self._job = load_job(job)
        empty = Journal(f"sqlite:///{folder / 'empty.sqlite'}")  # migrated once
        empty.close()

    def perform(self, *kills: int) -> list[list[str]]:
        """Tell the story once; the n-th process dies at its point number `kills[n]`.

        Returns: the points that each process passed. Raises: Violation.
        """
        lives: list[Process] = []
        with self._stage() as stage:
            stage.chance.seed(f"{self.story.name} {kills}")
            try:
                self.story.begin(stage)
                for n in itertools.count():
                    process = self._process(stage, kills[n] if n < len(kills) else None)
                    lives.append(process)
                    if process.live(self.story.meddle, submits=n == 0):
                        break
                    self.story.revive(stage)
                    if not stage.is_recorded():
                        break
                for other in stage.beside:
                    other.finish(self.story.meddle)
                if self.story.sweeps:
                    stage.sweep()
                told = "" if kills else self.story.told
                check(
                    stage,
                    self.story.ends,
                    guarded=self.story.guarded,
                    told=told,
                    repeats_s=self.story.repeats_s,
                )
                for other in stage.beside:
                    check(other.stage, self.story.ends, guarded=self.story.guarded)
            except Exception as error:
                raise Violation(self._tell(error, stage, lives, kills)) from error
            finally:
                self.met = set(stage.cloud.world.faults.met)
        return [process.life.passed for process in lives]

    def deaths(self) -> list[int]:
        """The points of one life that nothing disturbs, at which the story may kill."""
        [passed] = self.perform()
        first = passed.index(self.story.since) if self.story.since else 0
        return [point for point in deaths(passed) if point >= first]

    @contextmanager
    def _stage(self) -> Iterator[Stage]:
        clock = StageClock()
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as state,
            SimCloud(
                state=Path(state),
                machines="memory",
                clock=clock,
                providers=self.story.providers,
            ) as cloud,
        ):
            home = Path(state) / "home"
            home.mkdir()
            store = (self._folder / "empty.sqlite").read_bytes()
            (home / "gpulease.sqlite").write_bytes(store)
            (Path(state) / "elsewhere.sqlite").write_bytes(store)
            self.compared = Compared(cloud)
            fleet = Fleet(cloud, clock)
            fleet.program = self.story.program
            stage = Stage(
                cloud,
                clock,
                fleet,
                home,
                self._job,
                keep_s=self.story.keep_s,
                reuses=self.story.reuses,
                pace_s=self.story.pace_s,
                providers=self.story.providers,
            )
            stage.wait_s = self.story.wait_s
            try:
                yield stage
            finally:
                fleet.close()
                stage.close()

    def _tell(
        self, error: Exception, stage: Stage, lives: list[Process], kills: tuple[int, ...]
    ) -> str:
        beside = [other.stage for other in stage.beside]
        deaths = [f"{one.life.dies_at}: {one.life.died_at}" for one in lives if one.life.died_at]
        every = [(one, run) for one in (stage, *beside) for run in one.runs()]
        events = [event for one, run in every for event in one.journal.events(run.id)]
        history = "\n".join(f"  {at_s - 1.8e9:8.1f} {text}" for at_s, text in events)
        where = f"{self.story.name}, killed at {deaths or 'no point'}"
        again = ",".join(map(str, kills))
        return f"{where}: {type(error).__name__}: {error}\n{history}\n(again: CRASH_AT={again})"
