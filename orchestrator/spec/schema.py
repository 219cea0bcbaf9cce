"""The job file as JSON Schema for editors, and its keys one by one for the reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from orchestrator.spec.job import CausalLmJob, FinetuneJob
from orchestrator.spec.meanings import MEANINGS

FILE_NAME = "gpulease.schema.json"
MODELINE = f"# yaml-language-server: $schema={FILE_NAME}\n"
_TITLE = "gpulease job"

Schema: TypeAlias = dict[str, Any]  # JSON Schema is made of such


class Key(NamedTuple):
    """One key of a job."""

    path: str
    kind: str  # of value, in words
    default: str
    meaning: str


def json_schema() -> Schema:
    """JSON Schema (draft 2020-12) of a job file, each key with its meaning."""
    language, other = _schema(CausalLmJob), _schema(FinetuneJob)
    definitions = {**language.pop("$defs"), **other.pop("$defs")}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        "type": "object",
        "required": other["required"],
        "if": {"properties": {"task": {"const": "causal-lm"}}, "required": ["task"]},
        "then": language,
        "else": other,
        "$defs": definitions,
    }
    for job in (language, other):
        _explain(job, definitions, "")
    return schema


def schema_text() -> str:
    """What is written beside a job."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def write_schema(folder: Path) -> Path:
    """Write the schema into a folder, where a modeline finds it. Raises: OSError."""
    path = folder / FILE_NAME
    path.write_text(schema_text(), encoding="utf-8")
    return path


def renew_schema(folder: Path) -> bool:
    """Write this version's schema where another version's stands; whether it did."""
    path = folder / FILE_NAME
    try:
        known = path.read_text(encoding="utf-8")
        if known == schema_text() or json.loads(known).get("title") != _TITLE:
            return False
        write_schema(folder)
    except (OSError, ValueError, AttributeError):
        return False
    return True


def keys(job: type[FinetuneJob]) -> Iterator[Key]:
    """Every key of a job of this kind, a section before what is in it."""
    schema = _schema(job)
    yield from _keys(schema, schema["$defs"], "")


def _schema(job: type[FinetuneJob]) -> Schema:
    schema: Schema = job.model_json_schema(by_alias=True)
    del schema["properties"]["folder"]
    schema["required"].remove("folder")
    return schema


def _explain(section: Schema, definitions: dict[str, Schema], above: str) -> None:
    """Put its meaning to each key, and leave out what tells an editor nothing."""
    for key, value in section["properties"].items():
        path = f"{above}{key}"
        value["description"] = MEANINGS[path]
        value.pop("title", None)
        if value.get("default", ...) is None:
            del value["default"]
        if inner := _inner(value, definitions):
            _explain(inner, definitions, f"{path}.")


def _keys(section: Schema, definitions: dict[str, Schema], above: str) -> Iterator[Key]:
    for key, value in section["properties"].items():
        path = f"{above}{key}"
        inner = _inner(value, definitions)
        default = "" if inner or value.get("default") is None else value["default"]
        needed = key in section.get("required", ())
        kind = "mapping" if inner and "anyOf" not in value else _kind(value)
        yield Key(path, kind, "required" if needed else _said(default), MEANINGS[path])
        if inner:
            yield from _keys(inner, definitions, f"{path}.")


def _inner(value: Schema, definitions: dict[str, Schema]) -> Schema | None:
    """The section that a key holds."""
    for one in (value, *value.get("anyOf", ())):
        if "$ref" in one:
            return definitions[one["$ref"].rpartition("/")[2]]
    return None


def _kind(value: Schema) -> str:
    """A type in words: `text`, `one of a, b`, `whole number from 1 to 9`."""
    if "$ref" in value:
        return "mapping"
    if "enum" in value:
        return "one of " + ", ".join(value["enum"])
    if "const" in value:
        return str(value["const"])
    if "anyOf" in value:
        kinds = [_kind(one) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    if value.get("type") == "object":
        return "mapping of names to text"
    if isinstance(value.get("type"), list):
        return "dollars"
    examples = ", ".join(map(str, value.get("examples", ())))
    return _WORDS[value["type"]] + _bounds(value) + (f" such as {examples}" if examples else "")


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def _bounds(value: Schema) -> str:
    least, most = value.get("minimum"), value.get("maximum")
    above, below = value.get("exclusiveMinimum"), value.get("exclusiveMaximum")
    words = [
        f" from {least}" if least is not None else "",
        f" above {above}" if above is not None else "",
        f" to {most}" if most is not None else "",
        f" below {below}" if below is not None else "",
    ]
    return "".join(words)


def _said(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ", ".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)
