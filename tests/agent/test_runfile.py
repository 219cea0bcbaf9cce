from __future__ import annotations

import pytest

from orchestrator.agent.runfile import BadRunFile, Model, parse_run_file
from orchestrator.runs.label import Label
from tests.agent.run_files import run_file


def test_what_a_run_file_leaves_out_has_a_default() -> None:
    run = parse_run_file(run_file())

    assert (run.python, run.grace_s, run.checkpoints_every_s) == ("3.11", 60, 900)
    assert run.log_limit_bytes == 1 << 30
    assert run.ends_machine is True
    assert [run.model, run.setup, run.requirements] == [None, None, None]


def test_the_labels_deadline_is_the_last_one() -> None:
    label = str(Label("homeid", "runid123", 1, 1800000000, 1800007200))

    assert parse_run_file(run_file(label=label)).latest_s == 1800007200
    assert parse_run_file(run_file(label="no-label-of-ours")).latest_s == 1800003600


def test_a_model_is_an_id_at_a_commit_on_a_hub() -> None:
    model = {"id": "acme/tiny", "revision": "0" * 40, "endpoint": "https://hub/"}

    assert parse_run_file(run_file(model=model)).model == Model(
        "acme/tiny", "0" * 40, "https://hub"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        run_file(command=[1]),
        run_file(command="  "),
        run_file(hold_s=True),
        run_file(deadline_at=float("nan")),
        run_file(deadline_at=float("inf")),
        run_file(requirements="/etc/passwd"),
        run_file(requirements="--index-url=x"),
        run_file(environment={"A": "\0"}),
        run_file(environment={"A=B": ""}),
        run_file(model={"id": "x"}),
        run_file(setup=""),
        run_file(try_for=""),
        run_file(cost=1),
        run_file(cost={"usd_per_hour": -1, "before_usd": 0}),
    ],
)
def test_what_cannot_be_run_is_refused(data: bytes) -> None:
    with pytest.raises(BadRunFile):
        parse_run_file(data)
