from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.lifecycle.announcing import NOT_RETURNED_S, messages_between, to_waiting
from orchestrator.notify.message import Event
from orchestrator.notify.schema import event_schema
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import LeaseState, Outcome, State
from tests.conventions.source import PROJECT
from tests.runs.samples import NOW_S, lease, run


def story() -> Iterator[tuple[Run, Run, float]]:
    """Moves of a run that between them tell every event."""
    held = lease(state=LeaseState.HELD, machine_id="m1", sent_s=NOW_S, began_s=NOW_S)
    held = replace(held, usd_per_hour=Decimal("0.60"))
    begun = run(leases=(held,), cap_usd=Decimal(1), state=State.SETTING_UP)
    running = replace(begun, state=State.RUNNING)
    late_s = NOW_S + 3600.0
    yield begun, running, NOW_S
    yield running, running, late_s
    back = replace(held, state=LeaseState.RETURNING, return_since_s=late_s)
    returning = replace(running, state=State.RETURNING, outcome=Outcome.FAILED, leases=(back,))
    yield running, returning, late_s + NOT_RETURNED_S + 1
    gone = replace(back, state=LeaseState.CLOSED, gone_s=late_s)
    failure = Failure("job_failed", "it exits with 3")
    ended = replace(
        returning, state=State.ENDED, leases=(gone,), failure=failure, ended_s=late_s + 60
    )
    yield returning, replace(ended, artifacts_missing=("model was not fetched",)), late_s + 60
    yield returning, replace(ended, outcome=Outcome.SUCCEEDED, failure=None), late_s + 60


def told() -> list[dict[str, Any]]:
    return [
        json.loads(to_waiting(message).body)
        for before, after, now_s in story()
        for message in messages_between(before, after, now_s)
    ]


def test_every_message_that_is_told_is_as_the_schema_says() -> None:
    Draft202012Validator.check_schema(event_schema())
    validator = Draft202012Validator(event_schema())

    messages = told()

    assert {message["event"] for message in messages} == {str(event) for event in Event}
    for message in messages:
        assert list(validator.iter_errors(message)) == []


@pytest.mark.parametrize("event", list(Event))
def test_the_schema_leaves_out_nothing_that_is_told(event: Event) -> None:
    schema: Any = event_schema()
    known = set(schema["properties"])
    for branch in schema["allOf"]:
        if branch["if"]["properties"]["event"]["const"] == event:
            known |= set(branch["then"]["properties"])

    assert all(set(one) == known for one in told() if one["event"] == event)


def test_a_message_without_what_its_event_needs_is_refused() -> None:
    validator = Draft202012Validator(event_schema())
    finished = next(one for one in told() if one["event"] == Event.FINISHED)

    del finished["outcome"]

    assert not validator.is_valid(finished)


def test_the_readme_names_every_field() -> None:
    readme = (PROJECT / "README.md").read_text()
    section = readme.partition("\n## Webhook\n")[2].partition("\n## ")[0]

    names = {name for one in told() for name in one}

    assert [name for name in sorted(names) if f"`{name}`" not in section] == []
