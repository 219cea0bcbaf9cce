"""Logs and outputs: asked for in one call, and fetched a moment later from a file host."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from infra.simcloud.rented import Rented
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_READY_AFTER_S = 0.5
_LARGEST_TAIL = 5000
FOLDER = "result"


@dataclass(frozen=True, slots=True)
class _File:
    text: str
    ready_at_s: float


class Results:
    """The file host behind every `result_url`; who knows the name may read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}

    def offer(self, request: Request, text: str, **more: Json) -> Reply:
        """The answer that leads to a text."""
        with self._lock:
            name = f"{self._world.word(24)}.log"
            ready_at_s = self._world.clock.now_s() + self._world.delay_s(_READY_AFTER_S)
            self._files[name] = _File(text, ready_at_s)
        url = f"http://{request.headers.get('host', '')}/{FOLDER}/{name}"
        return json_reply({"success": True, "result_url": url, **more})

    def fetch(self, name: str) -> Reply:
        """GET of a file: 403 until it is there, as S3 says it."""
        file = self._files.get(name)
        if file is None or self._world.clock.now_s() < file.ready_at_s:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>")
        return Reply(200, file.text.encode(), {"Content-Type": "text/plain"})


def log_text(machine: Rented, body: Mapping[str, Json]) -> str:
    """The last lines of a container, or of its host's daemon."""
    source = "system" if str(body.get("daemon_logs", "")).lower() == "true" else "container"
    word = str(body.get("filter") or "")
    lines = [
        line.text for line in machine.log.lines() if line.source == source and word in line.text
    ]
    asked = str(body.get("tail") or "1000")
    tail = int(asked) if asked.isdecimal() else 1000
    return "".join(f"{line}\n" for line in lines[-min(max(tail, 1), _LARGEST_TAIL) :])
