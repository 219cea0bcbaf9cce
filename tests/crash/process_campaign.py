"""Draws points by a seed and plays every story with a death at them, several at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.crash.process_points import Point
from tests.crash.process_stories import Story
from tests.crash.processes import Place, Played

_RECORDING = "followed"  # only there every command of a story is seen


class Campaign:
    """Workers with a cloud each; most of a story is waiting, so there may be more than cores."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        seed: int,
        workers: int,
        report: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._dice = random.Random(seed)
        self._seed = seed
        self._workers = workers
        self._report = report
        self._places: Queue[Place] = Queue()

    def run(self, stories: Iterable[Story], kills: int) -> list[Played]:
        """At least `kills` deaths, spread evenly over the stories; and one quiet run of each."""
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                for number in range(self._workers):
                    place = self._folder / f"place{number}"
                    place.mkdir()
                    self._places.put(Place(place, self._environment, self._seed + number))
                quiet = list(pool.map(self._record, stories))
                played = list(quiet)
                drawn = {one.story.name: self._shuffled(one.points) for one in quiet}
                while missing := self._missing(played, quiet, kills, drawn):
                    jobs = [(story, point, self._dice.random()) for story, point in missing]
                    played += pool.map(lambda job: self._kill(*job), jobs)
                return played
            finally:
                while not self._places.empty():
                    self._places.get().close()

    def _shuffled(self, points: list[Point]) -> list[Point]:
        drawn = sorted(points)
        self._dice.shuffle(drawn)
        return drawn

    def _missing(
        self,
        played: list[Played],
        quiet: list[Played],
        kills: int,
        drawn: dict[str, list[Point]],
    ) -> list[tuple[Story, Point]]:
        """The next points: as many as deaths are still missing in each story."""
        found: list[tuple[Story, Point]] = []
        for place, one in enumerate(quiet):
            share = kills // len(quiet) + (place < kills % len(quiet))
            done = sum(bool(other.killed) for other in played if other.story is one.story)
            points = drawn[one.story.name]
            found += [(one.story, points.pop()) for _ in range(min(share - done, len(points)))]
        return found

    def _record(self, story: Story) -> Played:
        return self._play(story, None, _RECORDING, 0.0)

    def _kill(self, story: Story, point: Point, luck: float) -> Played:
        return self._play(story, point, "", luck)

    def _play(self, story: Story, point: Point | None, mode: str, luck: float) -> Played:
        place = self._places.get()
        try:
            played = place.play(story, point, mode=mode, dice=random.Random(luck))
        finally:
            self._places.put(place)
        said = "; ".join(played.broken) or ("killed" if played.killed else "nobody died")
        self._report(f"{played}: {said} in {played.seconds:.0f} s")
        return played


def summary(played: list[Played]) -> str:
    """One line per story: deaths, points that were not met again, broken promises, seconds."""
    lines = []
    for story in dict.fromkeys(one.story for one in played):
        mine = [one for one in played if one.story is story]
        killed = sum(bool(one.killed) for one in mine)
        missed = sum(one.point is not None and not one.killed for one in mine)
        broken = sum(bool(one.broken) for one in mine)
        mean_s = sum(one.seconds for one in mine) / len(mine)
        counts = f"{killed:4} killed{missed:4} not met{broken:4} broken"
        lines.append(f"{story.name:20}{counts}, {mean_s:.0f} s each")
    deaths = sum(bool(one.killed) for one in played)
    leaked = sum("still lives" in text for one in played for text in one.broken)
    return "\n".join([*lines, f"{deaths} kills, {leaked} machines left behind"])
