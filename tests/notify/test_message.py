from __future__ import annotations

import json

from orchestrator.notify.message import Event, Message


def test_every_body_has_the_schema_and_the_facts() -> None:
    message = Message("r1.cap.0.5", "r1", Event.CAP_SHARE, 0.0, {"share": "0.5"})

    assert json.loads(message.body("1970-01-01T00:00:00Z")) == {
        "schema": 1,
        "event": "run.cap_share",
        "id": "r1.cap.0.5",
        "at": "1970-01-01T00:00:00Z",
        "share": "0.5",
    }


def test_the_published_events_keep_their_names() -> None:
    assert [str(event) for event in Event] == [
        "run.started",
        "run.cap_share",
        "run.finished",
        "machine.not_returned",
    ]
