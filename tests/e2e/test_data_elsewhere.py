"""Data of a job that lies in a bucket, or at an address that may lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.artifacts.web import ROWS, Web
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.e2e.store import BUCKET, Store

COUNTS = """\
import json, os, pathlib
data = pathlib.Path(os.environ["GPULEASE_DATA"])
found = {path.name: path.read_text().count("\\n") for path in data.iterdir()}
pathlib.Path(os.environ["GPULEASE_OUTPUT"], "rows.json").write_text(json.dumps(found))
"""


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


@pytest.mark.slow
def test_data_of_a_bucket_and_of_an_address_reach_the_program(
    person: Person, cloud: Cloud, store: Store, web: Web
) -> None:
    store.write("data/train.jsonl", ROWS * 2)
    data = f"data: {{train: 's3://{BUCKET}/data/train.jsonl', eval: '{web.url}'}}\n"

    ended = person.types("submit", own_code(person, COUNTS, more=data), "--yes", "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    rows = Path(ended.json()["artifacts_dir"], "rows.json")
    assert json.loads(rows.read_text()) == {"train.jsonl": 200, "eval.jsonl": 100}
    for path in person.home.rglob("*"):
        assert not path.is_file() or b"sig=secret" not in path.read_bytes()


def test_an_address_that_lies_about_its_size_is_told_by_its_line_and_rents_nothing(
    person: Person, cloud: Cloud, web: Web
) -> None:
    web.head_size = 10
    job = own_code(person, more=f"data: {{train: '{web.url}'}}\n")

    ended = person.types("submit", job, "--yes")

    assert ended.code == 2
    assert f"{job}:7" in ended.err
    assert "said that it has 10 bytes, and then 2800" in " ".join(ended.err.split())
    assert "secret" not in ended.err
    assert not cloud.machines(person.home_id)
