"""What happens to a run is told to the config file's webhook, and nothing waits for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks

from orchestrator.notify.webhook import new_secret
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.notify.receiver import Receiver, listening

SECRET = new_secret()


@pytest.fixture
def receiver(person: Person) -> Iterator[Receiver]:
    with listening() as receiver:
        person.config.write_text(f'[notify]\nwebhook = "{receiver.url}?token=abc123"\n')
        person.env["GPULEASE_WEBHOOK_SECRET"] = SECRET
        yield receiver


def heard(receiver: Receiver) -> list[dict[str, Any]]:
    """Every message, its signature checked by the library that receivers use."""
    return [read(headers, body) for headers, body in receiver.heard]


def read(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """What it says; the time of a cloud that hurries is no reason to refuse it."""
    sent = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    signature = standardwebhooks.Webhook(SECRET).sign(headers["webhook-id"], sent, body.decode())
    assert headers["webhook-signature"] == signature
    message = json.loads(body)
    assert isinstance(message, dict)
    return message


@pytest.mark.slow
def test_the_start_and_the_end_of_a_run_are_told_and_signed(
    person: Person, cloud: Cloud, receiver: Receiver
) -> None:
    receiver.answers = [500, 204]

    ended = person.types("submit", own_code(person), "--yes", limit_s=180)

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = person.view()
    person.waits(lambda _: heard(receiver)[-1]["event"] == "run.finished")
    refused, *told = heard(receiver)
    assert refused == told[0]  # told again, under the same id
    assert [message["event"] for message in told] == ["run.started", "run.finished"]
    assert {message["run"] for message in told} == {receipt["run"]}
    assert (told[1]["outcome"], told[1]["exit_code"]) == ("succeeded", 0)
    assert told[1]["returned"] == {"proven": True}
    assert told[1]["cost_usd"] == receipt["cost_usd"]
    books_agree(receipt, person, cloud)
    said = ended.out + ended.err + person.driver_log()
    assert "abc123" not in said and SECRET not in said


def test_doctor_names_the_webhook_without_its_token(person: Person, receiver: Receiver) -> None:
    said = person.types("doctor")

    assert "127.0.0.1" in said.out and "abc123" not in said.out
    assert receiver.heard == []
