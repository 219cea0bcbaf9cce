from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.spec.document import read_document
from orchestrator.spec.job import FinetuneJob, read_job
from orchestrator.spec.meanings import MEANINGS
from orchestrator.spec.schema import json_schema, keys, renew_schema, write_schema
from tests.conventions.source import PROJECT

JOBS = [*PROJECT.glob("jobs/*/job.yaml"), *PROJECT.glob("templates/init/*.yaml")]
JOB = """\
kind: finetune
name: mine
model: org/model
task: text-classification
data: {train: a.jsonl}
"""


@pytest.fixture(scope="module")
def errors() -> Callable[[str], list[Any]]:
    """What an editor would underline in a text."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    return lambda text: list(validator.iter_errors(read_document(text, "x").value))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_our_own_jobs_are_valid(errors: Callable[[str], list[Any]], path: Path) -> None:
    assert errors(path.read_text()) == []


def test_every_optional_line_of_a_template_is_valid_too(
    errors: Callable[[str], list[Any]],
) -> None:
    for path in PROJECT.glob("templates/init/*.yaml"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            bare = line.lstrip().removeprefix("# ")
            if line.lstrip().startswith("# ") and ": " in bare and bare[0].islower():
                indent = line[: len(line) - len(line.lstrip())]
                text = "\n".join([*lines[:number], indent + bare, *lines[number + 1 :]])
                found = [error.message for error in errors(text)]
                assert not found, f"{path.name}:{number + 1}: {found}"


@pytest.mark.parametrize(
    "mistake",
    [
        "colour: red",
        "kind: serve",
        "gpu: {memory: 24}",
        "gpu: {memory_gib: big}",
        "gpu: {count: 0}",
        "train: {learning_rate: fast}",
        "train: {num_train_epochs: -1}",
        "train: {lora_r: 8}",
        "method: lora",
        "task: telepathy",
        "budget: {max_cost: [1]}",
        "providers: [runpod, nobody]",
        "trust: blind",
        "spot: 1",
        "data: {eval: b.jsonl}",
        "secrets: {A: b}",
        "artifacts: {keep: [everything]}",
    ],
)
def test_an_editor_refuses_what_the_loader_refuses(
    errors: Callable[[str], list[Any]], tmp_path: Path, mistake: str
) -> None:
    key = mistake.partition(":")[0]
    kept = "".join(f"{line}\n" for line in JOB.splitlines() if not line.startswith(f"{key}:"))
    text = f"{kept}{mistake}\n"
    value = read_document(text, "x").value
    assert isinstance(value, dict)

    assert errors(JOB) == []
    assert isinstance(read_job(value, tmp_path), list)
    assert errors(text)


def test_an_editor_says_what_each_key_means() -> None:
    schema = json_schema()

    assert schema["else"]["properties"]["budget"]["description"] == MEANINGS["budget"]
    columns = schema["$defs"]["Columns"]["properties"]
    assert columns["label"]["description"] == MEANINGS["data.columns.label"]
    assert "folder" not in schema["else"]["properties"]
    for job in ("then", "else"):
        assert list(_unexplained(schema[job])) == []


def _unexplained(section: dict[str, Any]) -> Iterator[str]:
    for key, value in section["properties"].items():
        if "description" not in value:
            yield key


def test_a_key_is_told_with_its_type_and_default() -> None:
    told = {key.path: (key.kind, key.default) for key in keys(FinetuneJob)}

    assert told["name"] == ("text", "required")
    assert told["train.learning_rate"] == ("number above 0 to 1", "5e-05")
    assert told["gpu.allow_cpu"] == ("true or false", "false")
    assert told["budget.max_duration"][1] == "6h"


def test_only_a_schema_of_ours_is_renewed(tmp_path: Path) -> None:
    assert not renew_schema(tmp_path)
    path = write_schema(tmp_path)
    assert not renew_schema(tmp_path)
    for other in ("[]", "{", '{"title": "mine"}'):
        path.write_text(other)
        assert not renew_schema(tmp_path)
        assert path.read_text() == other
