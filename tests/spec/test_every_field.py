"""Whatever stands in any one field of a job: a job, or mistakes with file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from infra.simcloud.hub_models import write_tiny_bert
from orchestrator.errors import GpuleaseError, SpecError
from orchestrator.lifecycle.material import prepare
from orchestrator.spec.document import read_document
from orchestrator.spec.job import Job, job_from_document, job_type
from orchestrator.spec.load import load_job
from orchestrator.spec.schema import json_schema
from orchestrator.spec.section import keys_of
from tests.spec.fields import Field, fields_of, placed, values_for

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BASES: dict[str, dict[str, object]] = {
    "causal-lm": {
        "kind": "finetune",
        "name": "router",
        "model": "./model",
        "task": "causal-lm",
        "data": {"train": "lm.jsonl", "eval": "lm.jsonl"},
    },
    "text-classification": {
        "kind": "finetune",
        "name": "tickets",
        "model": "./model",
        "task": "text-classification",
        "data": {"train": "text.jsonl", "eval": "text.jsonl"},
    },
    "code": {
        "kind": "finetune",
        "name": "own",
        "code": {"path": ".", "command": "python train.py", "requirements": "requirements.txt"},
    },
}
# The keys that decide which others there may be: a mistake in one may be told of another.
DECIDES = ("kind", "task", "code", "method", "stage")


def schema_of(base: str) -> Mapping[str, object]:
    """The part of the schema that such a job falls under."""
    part = SCHEMA["then" if base == "causal-lm" else "else"]
    assert isinstance(part, dict)
    return part


PLACES = [(base, field) for base in BASES for field in fields_of(schema_of(base), SCHEMA)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the jobs name."""
    folder = tmp_path_factory.mktemp("desk")
    write_tiny_bert(folder / "model")
    rows = [{"text": f"a row {n}", "label": "ab"[n % 2]} for n in range(6)]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"prompt": f"How many? {n}", "completion": f"{n}"} for n in range(6)]
    (folder / "lm.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    (folder / "requirements.txt").write_text("six\n")
    return folder


def written(document: Mapping[str, object], path: Path) -> dict[str, int]:
    """Write a job, one top-level key a line; the line of each."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    path.write_text("\n".join(lines) + "\n")
    return {key: number for number, key in enumerate(document, 1)}


def loaded(path: Path, sets: tuple[str, ...] = ()) -> Job | list[str]:
    """The job, or every mistake in it: each with its place, and fit to be shown."""
    try:
        job = load_job(path, sets=sets)
    except SpecError as error:
        for problem in error.problems:
            assert re.match(rf"({re.escape(str(path))}:\d+|--set .*?): \S", problem), problem
            assert problem.isprintable(), problem
        assert error.problems
        return list(error.problems)
    assert job_from_document(json.loads(json.dumps(job.to_document()))) == job
    return job


@pytest.mark.parametrize(
    ("base", "field"), PLACES, ids=[f"{base}:{field.name}" for base, field in PLACES]
)
def test_any_value_is_taken_or_refused_with_its_line(base: str, field: Field, desk: Path) -> None:
    @settings(max_examples=8)
    @given(values_for(field))
    def holds(value: object) -> None:
        document = placed(BASES[base], field.keys, value)
        lines = written(document, desk / "job.yaml")

        job = loaded(desk / "job.yaml")

        if isinstance(job, list):
            told = {
                int(problem.removeprefix(f"{desk / 'job.yaml'}:").split(":")[0]) for problem in job
            }
            assert told <= set(lines.values())
            assert field.keys[0] in DECIDES or lines[str(field.keys[0])] in told, job
        else:
            read = filled(read_document((desk / "job.yaml").read_bytes(), "job.yaml").value)
            assert not list(VALIDATOR.iter_errors(read))
            prepared(job, desk)

    holds()


@pytest.mark.parametrize("base", BASES)
def test_any_value_may_be_set_on_the_command_line(base: str, desk: Path) -> None:
    fields = [field for of, field in PLACES if of == base]

    @settings(max_examples=60)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        written(BASES[base], desk / "job.yaml")
        chosen = data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3))
        sets = [f"{field.name}={json.dumps(data.draw(values_for(field)))}" for field in chosen]

        loaded(desk / "job.yaml", tuple(sets))

    holds()


def filled(value: object) -> object:
    """Without keys that have nothing after them, which count as not written."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items() if inner is not None}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


def prepared(job: Job, desk: Path) -> None:
    """What is done with a job before an offer is asked for; no hub answers."""
    try:
        prepare(job, cache_dir=desk / "cache", endpoint="http://127.0.0.1:9", token=None)
    except GpuleaseError as error:
        assert error.problem


def test_no_field_is_left_out() -> None:
    for base in BASES:
        listed = {field.keys[0] for of, field in PLACES if of == base}
        assert listed == set(keys_of(job_type(base))) - {"folder"}
    assert any(field.name == "train.lora_target_modules.0" for _, field in PLACES)
    assert any(field.name == "env.NAME" for _, field in PLACES)
