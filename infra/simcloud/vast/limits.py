"""Too many calls: seconds that must lie between two of one kind, and how a refusal may look."""

from __future__ import annotations

import threading
from collections import defaultdict, deque

from infra.simcloud.faults import Fault
from infra.simcloud.timing import Now
from infra.simcloud.web import Json, Reply, json_reply

# Documented seconds between two calls of one key, by the call (2026-08; not promised).
THRESHOLDS_S = {
    "create": 4.5,
    "show": 2.0,
    "list": 1.0,
    "state": 1.0,
    "destroy": 3.0,
    "reboot": 1.0,
    "bid": 5.5,
    "keys": 1.0,
    "detach": 2.0,
    "billing": 1.0,
    "invoices": 3.0,
}
_SEARCHES, _SEARCHES_S = 10, 60.0  # of one address
_DAY_S = 86_400


class Limits:
    """When each key called last."""

    def __init__(self, clock: Now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_s: dict[tuple[str, str], float] = {}
        self._searches_s: dict[str, deque[float]] = defaultdict(deque)

    def refuse(self, who: str, call: str, scale: float) -> Reply | None:
        """The refusal of a call that comes too early; `scale` shortens what must lie between."""
        threshold_s = THRESHOLDS_S.get(call)
        if threshold_s is None:
            return None
        now_s = self._clock.now_s()
        with self._lock:
            last_s = self._last_s.get((who, call))
            if last_s is not None and now_s < last_s + threshold_s * scale:
                return _refusal(call, threshold_s)
            self._last_s[who, call] = now_s
        return None

    def refuse_search(self, scale: float) -> Reply | None:
        """The refusal of the eleventh search in a minute."""
        now_s = self._clock.now_s()
        with self._lock:
            times = self._searches_s[""]
            while times and now_s >= times[0] + _SEARCHES_S * scale:
                times.popleft()
            if len(times) >= _SEARCHES:
                return _plain("API requests too frequent")
            times.append(now_s)
        return None


def rate_limited(fault: Fault) -> Reply:
    """A 429 in the shape that a fault asks for."""
    seconds = fault.seconds(1.0)
    text = f"API requests too frequent endpoint threshold={seconds}"
    match fault.options.get("shape", "json"):
        case "plain":
            return _plain("API requests too frequent")
        case "plain_threshold":
            return _plain(f"API requests too frequent: endpoint threshold={seconds}")
        case "detail":
            return json_reply({"detail": text}, 429)
        case "retry_after":
            return json_reply({"detail": text}, 429, {"Retry-After": str(int(seconds))})
    return _json(text)


def search_quota(now_s: float) -> Reply:
    """The day's searches are used up, until midnight UTC."""
    midnight_s = (int(now_s) // _DAY_S + 1) * _DAY_S
    body: dict[str, Json] = {"success": False, "error": "search_quota_exceeded"}
    return json_reply(body, 429, {"X-RateLimit-Reset": str(midnight_s)})


def _refusal(call: str, threshold_s: float) -> Reply:
    text = f"API requests too frequent endpoint threshold={threshold_s}"
    return _json(text) if call == "destroy" else json_reply({"detail": text}, 429)


def _json(text: str) -> Reply:
    return json_reply({"success": False, "error": "rate_limit_exceeded", "msg": text}, 429)


def _plain(text: str) -> Reply:
    return Reply(429, text.encode(), {"Content-Type": "text/plain"})
