"""Which model a job starts from: one of the hub at a revision, or a folder of this computer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.errors import UsageError
from orchestrator.spec.nearest import quoted
from orchestrator.spec.paths import resolve, surroundings
from orchestrator.spec.section import not_yet, wrong

_HUB, _LOCAL = "a hub id such as owner/name", "a folder such as ./model"
_SUPPORTED = f"{_HUB}, or {_LOCAL}"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"(?P<id>(?:{_PART}/)?{_PART})(?:@(?P<revision>[A-Za-z0-9._/-]{{1,128}}))?")
_LATER = re.compile(r"(s3|gs|https?|run|hf):")
_FOLDER = re.compile(r"\.{0,2}/|~|\.{1,2}$")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the Hugging Face hub."""

    id: str
    revision: str | None = None  # branch, tag or commit; None: the hub's main

    def __str__(self) -> str:
        return f"{self.id}@{self.revision}" if self.revision else self.id


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model folder of this computer, with config.json and weights."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


ModelReference: TypeAlias = HubModel | LocalModel


def parse_model(text: str, folder: Path) -> ModelReference:
    """What `model:` means; a folder starts with `/`, `./`, `../` or `~`.

    Raises: PydanticCustomError.

    >>> parse_model("prajjwal1/bert-tiny@main", Path("/"))
    HubModel(id='prajjwal1/bert-tiny', revision='main')
    >>> parse_model("/models/mine", Path("/"))
    LocalModel(path=PosixPath('/models/mine'))
    """
    if later := _LATER.match(text):
        raise not_yet(f"a model from {later[0]}", _SUPPORTED)
    if _FOLDER.match(text):
        return LocalModel(resolve(text, folder))
    match = _HUB_ID.fullmatch(text)
    if match is None or ".." in match["id"] or "--" in match["id"]:
        raise wrong(f"{quoted(text)} is neither {_HUB} nor {_LOCAL}")
    return HubModel(match["id"], match["revision"])


def named_model(text: str) -> ModelReference:
    """The same, of the command line.

    Raises: UsageError.
    """
    try:
        return parse_model(text, Path.cwd())
    except PydanticCustomError as error:
        raise UsageError(f"model: {error.message()}") from error


def _read_model(raw: object, info: ValidationInfo) -> ModelReference:
    if isinstance(raw, HubModel | LocalModel):
        return raw
    if not isinstance(raw, str):
        raise wrong(f"must be {_SUPPORTED}")
    around = surroundings(info)
    model = parse_model(raw, around.folder)
    if around.files_must_exist and isinstance(model, LocalModel):
        _check_model_folder(model.path, raw)
    return model


def _check_model_folder(path: Path, written: str) -> None:
    try:
        found = (path / "config.json").is_file()
    except OSError:
        found = False
    if not found:
        raise wrong(f"folder {quoted(written)} has no config.json: it is not a model")


Model = Annotated[
    ModelReference,
    PlainValidator(_read_model),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["owner/name", "owner/name@revision"]}),
]
