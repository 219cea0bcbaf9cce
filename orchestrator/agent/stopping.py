"""The wish that the job shall end, and how long it may take over it."""

from __future__ import annotations

import threading

from .clock import Clock


class StopWish:
    """Set once, by whoever wants the job to end first; later wishes can only hurry it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kill_at_s = 0.0
        self._asked = threading.Event()
        self.why = ""
        self.reason = ""

    def ask(self, why: str, grace_s: float, reason: str = "") -> None:
        """End the job within `grace_s`; `why` is one of the protocol's WHY."""
        kill_at_s = self._clock.elapsed_s() + grace_s
        with self._lock:
            if not self._asked.is_set():
                self.why, self.reason, self._kill_at_s = why, reason, kill_at_s
                self._asked.set()
            self._kill_at_s = min(self._kill_at_s, kill_at_s)

    def is_asked(self) -> bool:
        """Whether the job shall end."""
        return self._asked.is_set()

    def is_overdue(self) -> bool:
        """Whether it shall end now, by force."""
        return self._asked.is_set() and self._clock.elapsed_s() >= self._kill_at_s

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until the wish comes; true if it did."""
        return self._asked.wait(seconds)
