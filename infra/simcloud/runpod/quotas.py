"""How often an account may call v2: what every answer says of it, and the refusal."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.simcloud.runpod.problems import Problem
from infra.simcloud.timing import Now

# Name, calls, seconds: as the description's example has them (2026-08-20).
_WINDOWS = (("minute", 60, 60), ("hour", 3000, 3600), ("day", 50000, 86400))


@dataclass(slots=True)
class Quotas:
    """Counts each account's calls in windows of the clock."""

    clock: Now
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _used: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def count(self, who: str, calls_per_minute: int) -> Mapping[str, str]:
        """Headers of the answer to one more call of `who`.

        Raises: Problem when more than `calls_per_minute` were made; 0: they are only counted.
        """
        now_s = self.clock.now_s()
        rates, policies, wait_s = [], [], 0
        for name, calls, seconds in _WINDOWS:
            quota = calls_per_minute or calls if name == "minute" else calls
            used = self._count(who, name, int(now_s // seconds))
            reset_s = math.ceil(seconds - now_s % seconds)
            rates.append(f'"{name}";r={max(0, quota - used)};t={reset_s}')
            policies.append(f'"{name}";q={quota};w={seconds}')
            if name == "minute" and calls_per_minute and used > quota:
                wait_s = reset_s
        headers = {"RateLimit": ", ".join(rates), "RateLimit-Policy": ", ".join(policies)}
        if wait_s:
            detail = "rate limit exceeded for the minute window"
            headers["Retry-After"] = str(wait_s)
            raise Problem(429, detail, headers=headers)
        return headers

    def _count(self, who: str, window: str, number: int) -> int:
        with self._lock:
            known, used = self._used.get((who, window), (number, 0))
            used = used + 1 if known == number else 1
            self._used[who, window] = number, used
            return used
