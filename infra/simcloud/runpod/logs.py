"""A pod's log as server-sent events without end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from infra.simcloud.rented import LogLine, Rented
from infra.simcloud.runpod.problems import invalid
from infra.simcloud.runpod.timestamps import epoch_s, timestamp
from infra.simcloud.web import Reply, Request

_SOURCES = ("container", "system")
_LARGEST_TAIL = 5000
_DEFAULT_TAIL = 100
_TICK_S = 0.1
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


def stream(machine: Rented, request: Request) -> Reply:
    """GET /v2/pods/{id}/logs: the head goes out with the first line. Raises: Problem."""
    source = request.query.get("source", "")
    if source and source not in _SOURCES:
        raise invalid(f"source: value must be one of {', '.join(_SOURCES)}")
    start = _start(machine, request.query, request.headers.get("last-event-id", ""), source)
    return Reply(200, headers=_HEADERS, events=_events(machine, start, source))


def _start(machine: Rented, query: Mapping[str, str], last_id: str, source: str) -> int:
    """The number of the line behind which the stream begins."""
    lines = [line for line in machine.log.lines() if not source or line.source == source]
    newest = lines[-1].number if lines else 0
    if "/" in last_id:
        number = last_id.rpartition("/")[2]
        return int(number) if number.isdecimal() else newest
    if last_id or "since" in query:
        since_s = epoch_s(last_id or query["since"], "since")
        return next((line.number - 1 for line in lines if line.at_s >= since_s), newest)
    tail = query.get("tail", str(_DEFAULT_TAIL))
    if not tail.isdecimal() or int(tail) > _LARGEST_TAIL:
        raise invalid(f"tail: must be an integer from 0 to {_LARGEST_TAIL}")
    if int(tail) == 0 or not lines:
        return newest
    return lines[-int(tail) :][0].number - 1


def _events(machine: Rented, after: int, source: str) -> Iterator[bytes]:
    for line in machine.log.follow(after, _TICK_S):
        if line is None and not machine.alive:
            return  # an ended pod has no log
        if line is None:
            yield b""
        elif not source or line.source == source:
            yield _event(line)


def _event(line: LogLine) -> bytes:
    at = timestamp(line.at_s)
    data = json.dumps({"ts": at, "source": line.source, "line": line.text})
    return f"id: {at}/{line.number:012d}\ndata: {data}\n\n".encode()
