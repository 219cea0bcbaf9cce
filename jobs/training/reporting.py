"""What a run tells while it goes on: events for programs, lines for people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_RATE_WINDOW_S = 30.0


class _Mark(NamedTuple):
    at_s: float  # monotonic
    step: int
    tokens: int


@dataclass(slots=True)
class Reporter:
    """Appends progress events, each in one write, and prints a line beside each."""

    events: Path
    samples_per_step: int
    _marks: list[_Mark] = field(default_factory=list)  # recent

    def start(self, step: int, tokens: int = 0) -> None:
        """Count the speed from here, after a resume too."""
        self._marks = [_Mark(time.monotonic(), step, tokens)]

    def progress(
        self, step: int, steps: int, epoch: float, log: Mapping[str, float], tokens: int = 0
    ) -> None:
        """One log entry of the trainer; `tokens` since the very start, 0 if not counted."""
        rate, tokens_per_s = self._rates(step, tokens)
        event: dict[str, object] = {"step": step, "steps": steps, "epoch": round(epoch, 4)}
        event.update({name: log[name] for name in ("loss", "learning_rate") if name in log})
        line = f"step {step}/{steps}  epoch {epoch:.2f}"
        if "loss" in log:
            line += f"  loss {log['loss']:.4f}"
        if rate > 0:
            samples_per_s, eta_s = rate * self.samples_per_step, (steps - step) / rate
            event.update(samples_per_s=round(samples_per_s, 3), eta_s=round(eta_s, 1))
            line += f"  {samples_per_s:.1f} samples/s  {eta_s:.0f} s left"
        if tokens:
            event.update(tokens=tokens, tokens_per_s=round(tokens_per_s, 1))
            line += f"  {tokens_per_s:.0f} tokens/s"
        self._append(event, line)

    def evaluated(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """Figures of an evaluation."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self._append({"step": step, "steps": steps, "metrics": dict(metrics)}, figures)

    def _rates(self, step: int, tokens: int) -> tuple[float, float]:
        """Steps and tokens a second, lately."""
        now = _Mark(time.monotonic(), step, tokens)
        self._marks.append(now)
        while len(self._marks) > 2 and now.at_s - self._marks[1].at_s > _RATE_WINDOW_S:
            self._marks.pop(0)
        since = self._marks[0]
        seconds = now.at_s - since.at_s
        if seconds <= 0:
            return 0.0, 0.0
        return (step - since.step) / seconds, (tokens - since.tokens) / seconds

    def _append(self, event: dict[str, object], line: str) -> None:
        print(line, flush=True)
        record = json.dumps({"at": time.time(), "event": "progress", **event}) + "\n"
        self.events.parent.mkdir(parents=True, exist_ok=True)
        # One write on O_APPEND: the agent appends to the same file.
        handle = os.open(self.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, record.encode())
        finally:
            os.close(handle)
