"""What happens to a run is told to the config file's webhook, and nothing waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks

from orchestrator.notify.webhook import new_secret
from tests.crash.process_store import look
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person, waits_until
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


COUNTS = """\
import json, os, pathlib, time
word = pathlib.Path(os.environ["GPULEASE_CLOCK"]).with_name(os.environ["GPULEASE_RUN"])
step = 0
while not word.exists():
    step += 1
    with open(os.environ["GPULEASE_EVENTS"], "a") as events:
        told = {"at": time.time(), "event": "progress", "step": step, "steps": step}
        events.write(json.dumps(told) + "\\n")
    time.sleep(0.1)
"""


def step_of(person: Person) -> float:
    """How far the program is, as the driver last wrote it down."""
    document = look(person.home).document
    return document["progress"].get("step", 0.0) if document else 0.0


@pytest.mark.slow
def test_a_receiver_that_never_answers_leaves_the_run_s_pace_alone(
    person: Person, cloud: Cloud, receiver: Receiver
) -> None:
    receiver.hangs = True
    run = person.submits(own_code(person, COUNTS))
    waits_until(lambda: receiver.held == 1)

    # While one message is held, which is for ten seconds, the driver looks at the run as ever.
    steps: set[float] = set()
    while receiver.held and len(steps) < 4:
        steps.add(step_of(person))
        time.sleep(0.02)
    assert len(steps) >= 4, f"nothing was looked at meanwhile: {steps}"

    cloud.says_go(run)
    with cloud.hurrying():
        ended = person.types("attach", run, "--json")
    assert ended.code == 0, ended.err + person.driver_log()
    books_agree(person.view(), person, cloud)
    assert {read(*one)["event"] for one in receiver.heard} == {"run.started"}


def told(receiver: Receiver, run: str) -> list[str]:
    """The messages' ids, without the run's."""
    return [message["id"].removeprefix(f"{run}.") for message in heard(receiver)]


@pytest.mark.slow
def test_shares_of_the_cap_are_told_as_they_are_spent(
    person: Person, cloud: Cloud, receiver: Receiver
) -> None:
    brief = {"max_cost": "0.05", "more": "artifacts: {hold: 1m}\n"}
    run = person.submits(own_code(person, training(steps=9, waits_at=5), **brief))
    person.waits(lambda view: view["progress"].get("step") == 5)

    def goes_by() -> bool:
        cloud.advance(5)
        return person.state() == "returning"

    waits_until(goes_by)
    with cloud.hurrying():
        ended = person.types("attach", run)
    assert ended.code == 5, ended.err + person.driver_log()
    waits_until(lambda: "finished" in told(receiver, run))

    shares = [one["share"] for one in heard(receiver) if one["event"] == "run.cap_share"]
    assert shares[0] == "0.5" and shares == sorted(set(shares))
    last = heard(receiver)[-1]
    assert (last["event"], last["outcome"], last["exit_code"]) == ("run.finished", "capped", 5)
    books_agree(person.view(), person, cloud)


@pytest.mark.slow
def test_a_return_that_is_refused_is_told_once(
    person: Person, cloud: Cloud, receiver: Receiver
) -> None:
    cloud.fault("5xx", operation="delete", times=None)
    run = person.submits(own_code(person))
    person.waits(lambda view: "refuses to end" in view["waiting"])
    (machine,) = cloud.living(person.home_id)

    cloud.advance(700)
    waits_until(lambda: f"not_returned.{machine['id']}" in told(receiver, run))
    cloud.advance(700)
    cloud.clear_faults()
    with cloud.hurrying():
        ended = person.types("attach", run)
    assert ended.code == 0, ended.err + person.driver_log()
    waits_until(lambda: "finished" in told(receiver, run))

    assert told(receiver, run) == ["started", f"not_returned.{machine['id']}", "finished"]
    said = heard(receiver)[1]["machine"]
    assert said == {"provider": "runpod", "id": machine["id"], "label": machine["label"]}
    books_agree(person.view(), person, cloud)


def test_doctor_names_the_webhook_without_its_token(person: Person, receiver: Receiver) -> None:
    said = person.types("doctor")

    assert "127.0.0.1" in said.out and "abc123" not in said.out
    assert receiver.heard == []
