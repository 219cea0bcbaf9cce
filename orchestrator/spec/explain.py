"""pydantic's findings in words for the person who wrote the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.spec.document import Keys
from orchestrator.spec.nearest import nearest, printable, quoted
from orchestrator.spec.section import keys_of
from orchestrator.spec.train import OTHER_NAMES

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
# Keys that only some jobs have.
_ELSEWHERE = {("stage",): "task: causal-lm"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a job, and the keys that lead to it."""

    keys: Keys
    text: str
    meant: str = ""  # the key that a misspelt one stands for


def explain(error: ValidationError, root: type[BaseModel]) -> Iterator[Mistake]:
    """Every finding of `error` in words."""
    for details in error.errors(include_url=False):
        keys = tuple(key for key in details["loc"] if key != "[key]")
        meant = _meant(keys, root) if details["type"] == "extra_forbidden" else ""
        yield Mistake(keys, _words(details, keys, root), meant)


def missing(keys: Keys) -> Mistake:
    """A key that must be there."""
    return Mistake(keys, f"`{printable(dotted(keys))}` is missing")


def without_echoes(mistakes: list[Mistake]) -> list[Mistake]:
    """One sentence per mistake: a misspelt key is not missing as well."""
    meant = [missing((*mistake.keys[:-1], mistake.meant)) for mistake in mistakes if mistake.meant]
    return [mistake for mistake in dict.fromkeys(mistakes) if mistake not in meant]


def dotted(keys: Keys) -> str:
    """Keys as `--set` takes them.

    >>> dotted(("gpu", "name", 0))
    'gpu.name.0'
    """
    return ".".join(str(key) for key in keys)


def _words(details: ErrorDetails, keys: Keys, root: type[BaseModel]) -> str:
    kind, name = details["type"], printable(dotted(keys))
    bounds: Mapping[str, object] = details.get("ctx", {})
    if kind == "missing":
        return missing(keys).text
    if kind == "extra_forbidden":
        return _unknown_key(keys, root)
    if kind in _EXPECTED:
        return f"{name}: must be {_EXPECTED[kind]}, not {_what(details['input'])}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name}: must be {words} {bounds[key]}"
    if kind in ("too_long", "string_too_long"):
        return f"{name}: must be no longer than {bounds['max_length']}"
    return f"{name}: {details['msg']}"


def _what(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"the number {quoted(getattr(value, 'text', str(value)))}"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list | tuple) else "a mapping"


def _unknown_key(keys: Keys, root: type[BaseModel]) -> str:
    key = str(keys[-1])
    if keys in _ELSEWHERE:
        return f"unknown key {quoted(key)} here; it belongs to `{_ELSEWHERE[keys]}`"
    known = keys_of(_section_at(keys[:-1], root))
    text = f"unknown key {quoted(key)}"
    if OTHER_NAMES.get(key) in known:
        return f"{text}; it is called `{OTHER_NAMES[key]}` here"
    if meant := _meant(keys, root):
        return f"{text}; did you mean {quoted(meant)}?"
    homes = [dotted(home) for home in _homes(OTHER_NAMES.get(key, key), root, ())]
    if homes:
        return f"{text} here; it belongs at `{homes[0]}`"
    return f"{text}; known here: {', '.join(known)}"


def _meant(keys: Keys, root: type[BaseModel]) -> str:
    return nearest(str(keys[-1]), keys_of(_section_at(keys[:-1], root))) or ""


def _section_at(keys: Keys, root: type[BaseModel]) -> type[BaseModel]:
    section = root
    for key in keys:
        names = keys_of(section)
        inner = _section_of(section, names[key]) if isinstance(key, str) and key in names else None
        if inner is None:
            break
        section = inner
    return section


def _section_of(section: type[BaseModel], attribute: str) -> type[BaseModel] | None:
    annotation = section.model_fields[attribute].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _homes(key: str, section: type[BaseModel], above: Keys) -> Iterator[Keys]:
    for name, attribute in keys_of(section).items():
        if name == key:
            yield (*above, name)
        if inner := _section_of(section, attribute):
            yield from _homes(key, inner, (*above, name))
