"""One figure as a ratio to a yardstick that is measured in the same run, turn by turn.

A benchmark is a file `bench_*.py` here with a function `rows()` that yields `Row`s, or `Unmeasured`
ones; `python -m tests.benchmarks` runs them all and prints one markdown table.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

HEADER = "| what | ours | yardstick | ratio | limit |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside its yardstick, or beside nothing where it is a plain difference.

    `limit` is the highest ratio that is good (without a yardstick: the highest value of `ours`);
    None where there is no promise.
    """

    what: str
    ours: float
    yardstick: float | None
    unit: str
    limit: float | None = None
    against: str = ""

    @property
    def figure(self) -> float:
        """What the limit is for."""
        return self.ours if self.yardstick is None else self.ours / self.yardstick

    @property
    def good(self) -> bool:
        return self.limit is None or self.figure <= self.limit

    def markdown(self) -> str:
        """The row of the table.

        >>> Row("help", 60, 15, "ms", limit=8, against="python -c pass").markdown()
        '| help | 60 ms | 15 ms (python -c pass) | 4.0× | 8× |'
        >>> Row("idle", 1.5, None, "s", limit=2).markdown()
        '| idle | 1.5 s | | | 2 s |'
        """
        ours = f"{self.ours:.3g} {self.unit}"
        if self.yardstick is None:
            limit = "" if self.limit is None else f"{self.limit:g} {self.unit} "
            return f"| {self.what} | {ours} | | | {limit}|"
        beside = f"{self.yardstick:.3g} {self.unit}" + (
            f" ({self.against})" if self.against else ""
        )
        limit = "" if self.limit is None else f"{self.limit:.3g}× "
        figure = f"{self.figure:.1f}" if self.figure >= 2 else f"{self.figure:.2f}"
        return f"| {self.what} | {ours} | {beside} | {figure}× | {limit}|"


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A row without a figure: what this computer lacks is said in the table, where it is missed."""

    what: str
    why: str
    good = True

    def markdown(self) -> str:
        """The row of the table.

        >>> Unmeasured("re-sync", "rsync is not installed").markdown()
        '| re-sync | not measured: rsync is not installed | | | |'
        """
        return f"| {self.what} | not measured: {self.why} | | | |"


def unmeasured(why: str, *what: str) -> list[Unmeasured]:
    """A row for each figure that there would be."""
    return [Unmeasured(one, why) for one in what]


def compare(
    ours: Callable[[], float], yardstick: Callable[[], float], *, runs: int = 10
) -> tuple[float, float]:
    """Medians of both, measured in turn after one uncounted round, so that noise hits both."""
    ours()
    yardstick()
    pairs = [(ours(), yardstick()) for _ in range(runs)]
    return median(one for one, _ in pairs), median(other for _, other in pairs)


def cpu_ms(command: Sequence[str]) -> float:
    """User and system time of one run of a command and what it waited for, in milliseconds."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000
