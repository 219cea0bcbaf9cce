from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from orchestrator.spec.job import Job
from orchestrator.spec.model import HubModel, LocalModel, parse_model


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("gpt2", HubModel("gpt2")),
        ("owner/name", HubModel("owner/name")),
        ("owner/name@refs/pr/3", HubModel("owner/name", "refs/pr/3")),
        ("./name", LocalModel(Path("/jobs/name"))),
        ("../name", LocalModel(Path("/name"))),
        ("/models/name", LocalModel(Path("/models/name"))),
        (".", LocalModel(Path("/jobs"))),
    ],
)
def test_a_model_is_of_the_hub_or_a_folder(text: str, model: HubModel | LocalModel) -> None:
    assert parse_model(text, Path("/jobs")) == model


@pytest.mark.parametrize("text", ["s3://bucket/x", "run:tickets", "https://host/x", "hf://a/b"])
def test_other_places_are_not_yet_supported(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="not yet supported in this version"):
        parse_model(text, Path("/"))


@pytest.mark.parametrize("text", ["", "a/b/c", "-a/b", "a/b@", "a b", "a/..", "a/b@x y", "a//b"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="is neither a hub id"):
        parse_model(text, Path("/"))


def test_a_model_folder_must_hold_a_model(
    problems: Callable[..., list[str]], load: Callable[..., Job], folder: Path
) -> None:
    model = folder / "model"
    model.mkdir()

    assert problems(sets=("model=./model",)) == [
        "--set model: model: folder `./model` has no config.json: it is not a model"
    ]
    (model / "config.json").write_text("{}")
    assert load(sets=("model=./model",)).model == LocalModel(model)
