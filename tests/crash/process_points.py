"""Points at which a real process is killed, and the tally of all that it met. Standard library."""

from __future__ import annotations

import fcntl
import os
import signal
from dataclasses import dataclass
from pathlib import Path

TALLY = "CRASH_TALLY"
POINT = "CRASH_POINT"
AHEAD = "CRASH_CLOCK_AHEAD"  # a file: seconds by which the wall clock was set
BEFORE, AFTER = "before", "after"
_KILLED = "KILLED"


@dataclass(frozen=True, order=True, slots=True)
class Point:
    """Just before or after the nth time that a kind of process does one kind of thing.

    A name that says what is done, and not a number in the sequence of everything: how often a
    driver polls differs from run to run, its first create is always its first create.
    """

    who: str  # the word behind `gpulease`
    act: str  # "POST /pods", "commit renting", "write keys/id_ed25519"
    nth: int
    moment: str  # BEFORE or AFTER

    def __str__(self) -> str:
        return "|".join([self.who, self.act, str(self.nth), self.moment])

    @classmethod
    def parse(cls, text: str) -> Point:
        who, act, nth, moment = text.split("|")
        return cls(who, act, int(nth), moment)


class Tally:
    """A file in which every process of a story notes what it is about to do, or did."""

    def __init__(self, path: Path, point: Point | None) -> None:
        self._path = path
        self._point = point

    def meet(self, who: str, act: str, moment: str, pid: int) -> bool:
        """Note a point; end `pid` and return True if this is where it is to die."""
        line = f"{who}|{act}|{moment}"
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = file.read().splitlines()
            wanted = self._point
            mine = (
                wanted is not None
                and (wanted.who, wanted.act, wanted.moment) == (who, act, moment)
                and known.count(line) == wanted.nth - 1
                and not any(one.startswith(_KILLED) for one in known)
            )
            file.write(f"{line}\n" + (f"{_KILLED}|{who}\n" if mine else ""))
            file.flush()
            if mine:
                os.kill(pid, signal.SIGKILL)
        return mine

    @property
    def killed(self) -> str:
        """Which kind of process was killed; empty as long as none was."""
        lines = [line for line in self._lines() if line.startswith(_KILLED)]
        return lines[0].partition("|")[2] if lines else ""

    @property
    def moves(self) -> bool:
        """Whether the driver that lives now has begun its work; one that starts takes its time."""
        lines = self._lines()
        deaths = [place for place, line in enumerate(lines) if line.startswith(_KILLED)]
        return any(line.startswith("driver|") for line in lines[deaths[-1] + 1 if deaths else 0 :])

    def points(self) -> list[Point]:
        """Every point that was met, in order."""
        times: dict[str, int] = {}
        points: list[Point] = []
        for line in self._lines():
            if not line.startswith(_KILLED):
                times[line] = times.get(line, 0) + 1
                who, act, moment = line.split("|")
                points.append(Point(who, act, times[line], moment))
        return points

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []
