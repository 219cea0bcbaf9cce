"""A job that is refused before anything is rented."""

from __future__ import annotations

from typing import Any

from tests.e2e.cloud import Cloud
from tests.e2e.person import Ended, Person

TICKETS = """\
kind: finetune
name: tickets
model: simcloud/tiny-bert
task: text-classification
data: {train: train.jsonl, eval: eval.jsonl}
train: {num_train_epochs: 1}
gpu: {allow_cpu: true}
budget: {max_cost: 1.00, max_duration: 30m}
providers: [runpod]
"""
_ROWS = (("the bill is wrong", "billing"), ("it crashes at start", "bug"))
TRAIN = "".join(
    f'{{"text": "{text} ({n})", "label": "{label}"}}\n' for n in range(4) for text, label in _ROWS
)
EVAL = "".join(f'{{"text": "please help: {text}", "label": "{label}"}}\n' for text, label in _ROWS)


def tickets(
    person: Person, job: str = TICKETS, *, train: str = TRAIN, evaluation: str = EVAL
) -> str:
    """Put a job and its data on the desk; gives the job's file name."""
    person.writes("train.jsonl", train)
    person.writes("eval.jsonl", evaluation)
    return person.writes("job.yaml", job).name


def refused(
    person: Person, cloud: Cloud, job: str, *options: str, exit_code: int, code: str
) -> dict[str, Any]:
    """Submit a job that must be refused; gives what `error` of the JSON says.

    Checked: exit code, the same words for a person, nothing rented and nothing left open.
    """
    before = creates(cloud)

    ended = person.types("submit", job, "--yes", "--json", *options)

    assert ended.code == exit_code, ended.err
    view = ended.json()
    error: dict[str, Any] = view["error"]
    assert error["code"] == code
    assert view["run"] is None
    assert view["exit_code"] == exit_code
    assert view["outcome"] == ("no_capacity" if exit_code == 3 else "refused")
    assert_told(ended, error)
    assert creates(cloud) == before, "something was asked to be rented"
    assert cloud.machines(person.home_id) == []
    assert person.state() == "", "a run was recorded"
    return error


def assert_told(ended: Ended, error: dict[str, Any]) -> None:
    """The words of the JSON stand on stderr too, with the next step and without a traceback."""
    assert f"error: {error['problem']}\n" in ended.err
    assert error["hint"], "it does not say what to do"
    assert f"hint: {error['hint']}\n" in ended.err
    assert "Traceback" not in ended.err + ended.out


def creates(cloud: Cloud) -> int:
    """How often the cloud was asked for a machine."""
    return sum(call["path"].endswith("/pods") for call in cloud.calls("POST"))
