"""What is told, under the names that receivers rely on. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class Event(StrEnum):
    """The events of the published schema."""

    STARTED = "run.started"  # the program runs on the machine
    CAP_SHARE = "run.cap_share"  # a half, four fifths, or 95 % of the cap is spent
    FINISHED = "run.finished"  # the run is over and every machine is proven gone, or closed by hand
    NOT_RETURNED = "machine.not_returned"  # a provider has refused a return for ten minutes


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell. The id is the same however often it is found to be true."""

    id: str
    run_id: str
    event: Event
    at_s: float
    facts: dict[str, object]

    def body(self, at: str) -> bytes:
        """The JSON that is sent; `at` is the moment of the event in ISO 8601.

        >>> Message("r1.started", "r1", Event.STARTED, 0.0, {"name": "x"}).body("1970-01-01")
        b'{"schema":1,"event":"run.started","id":"r1.started","at":"1970-01-01","name":"x"}'
        """
        document = {"schema": 1, "event": str(self.event), "id": self.id, "at": at, **self.facts}
        return json.dumps(document, separators=(",", ":")).encode()
