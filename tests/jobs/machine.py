"""A work folder as the agent lays it out, without an agent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.spec.programs import Program


@dataclass
class Machine:
    """A work folder as the agent lays it out, in which the program can be started."""

    folder: Path
    program: Program
    python: Path
    model: Path
    settings: dict[str, object]

    def __post_init__(self) -> None:
        shutil.copytree(self.program.folder, self.folder / "code")
        for shared in self.program.shares:
            shutil.copytree(shared, self.folder / "code" / shared.name)
        (self.folder / "settings.json").write_text(json.dumps(self.settings))

    @property
    def events(self) -> list[dict[str, object]]:
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def metrics(self) -> dict[str, float]:
        """Figures; `device` and `dtype` are text."""
        metrics: dict[str, float] = json.loads((self.folder / "metrics.json").read_text())
        return metrics

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def checkpoints(self) -> list[Path]:
        """Complete ones, oldest first."""
        found = (self.folder / "checkpoints").glob("step-*/complete.json")
        return sorted((path.parent for path in found), key=lambda path: int(path.name[5:]))

    def start(
        self, *, checkpoint_every_s: float, usd_per_hour: float | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / "log.txt").open("ab") as log:
            return self._spawn(log, checkpoint_every_s, usd_per_hour)

    def _spawn(
        self, log: IO[bytes], checkpoint_every_s: float, usd_per_hour: float | None
    ) -> subprocess.Popen[bytes]:
        told: dict[str, object] = {
            "MODEL": self.model,
            "OUTPUT": self.folder / "output",
            "CHECKPOINTS": self.folder / "checkpoints",
            "METRICS": self.folder / "metrics.json",
            "EVENTS": self.folder / "events.jsonl",
            "DEVICE": "cpu",
            "CHECKPOINT_EVERY_S": checkpoint_every_s,
        }
        if usd_per_hour is not None:
            told |= {"USD_PER_HOUR": usd_per_hour, "SPENT_USD": 0.25}
        return subprocess.Popen(
            [self.python, *self.program.command[1:]],
            cwd=self.folder / "code",
            env={
                **os.environ,
                **{f"GPULEASE_{name}": str(value) for name, value in told.items()},
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def until(true: Callable[[], bool], process: subprocess.Popen[bytes], limit_s: float = 120) -> None:
    """Wait for something that a living process brings about."""
    give_up_s = time.monotonic() + limit_s
    while not true():
        assert process.poll() is None, "the program ended first"
        assert time.monotonic() < give_up_s
        time.sleep(0.005)
