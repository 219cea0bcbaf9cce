"""Every field of a job file, read off its JSON Schema, and values to put there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

Keys = tuple[str | int, ...]
Schema = Mapping[str, Any]

_ANY_KEY = "NAME"
_WORDS = (
    *("", " ", "auto", "~", "null", "on", "0x10", "1e400", "-0", "1_000", "90", "1h", "-1h", "99d"),
    *(".", "..", "/", "../x", "./x", "s3://x", "s3://b/p", "https://x/y.jsonl", "run:x", "@", "a@"),
    *("text-classification", "causal-lm", "lora", "dpo", "runpod", "vast", "ssh_host:x", "secure"),
    *("a\x00b", "\x1b[31mred", "\u202egpj", "é" * 80, "x" * 5000, "a: b", "{", "- x", "#", "%s{0}"),
)
_NUMBERS = (0, -1, 1, 2, 2**31, 2**63, 10**400, 0.5, 1e-300, 1e300, float("inf"), float("nan"))


@dataclass(frozen=True, slots=True)
class Field:
    """One place of a job file."""

    keys: Keys
    schema: Schema

    @property
    def name(self) -> str:
        return ".".join(str(key) for key in self.keys)


def fields_of(schema: Schema, root: Schema, above: Keys = ()) -> Iterator[Field]:
    """Every place below `schema`: sections, their keys, items of lists, names that may be any."""
    if above:
        yield Field(above, schema)
    if reference := schema.get("$ref"):
        section = root["$defs"][reference.rpartition("/")[2]]
        yield from (field for field in fields_of(section, root, above) if field.keys != above)
    for one in schema.get("anyOf", ()):
        yield from (field for field in fields_of(one, root, above) if field.keys != above)
    for key, inner in schema.get("properties", {}).items():
        yield from fields_of(inner, root, (*above, key))
    if isinstance(items := schema.get("items"), dict):
        yield from fields_of(items, root, (*above, 0))
    if isinstance(names := schema.get("additionalProperties"), dict):
        yield from fields_of(names, root, (*above, _ANY_KEY))


def values_for(field: Field) -> st.SearchStrategy[object]:
    """Values of every kind, those around the field's own limits among them."""
    near = st.sampled_from(list(_near(field.schema)) or [None])
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(_NUMBERS),
        st.integers(),
        st.floats(),
        st.sampled_from(_WORDS),
        st.text(max_size=12),
    )
    nested = st.lists(near | plain, max_size=3) | st.dictionaries(
        st.sampled_from(("x", "name", "train", "max_cost", "\x1b[0m", "")), near | plain, max_size=3
    )
    return st.one_of(near, near, plain, nested)


def placed(job: Mapping[str, object], keys: Keys, value: object) -> dict[str, object]:
    """The job with `value` at `keys`, and sections on the way where there are none."""
    made: dict[str, object] = deepcopy(dict(job))
    target: Any = made
    for key, following in pairwise(keys):
        wanted: type = list if isinstance(following, int) else dict
        if isinstance(target, list):
            target.append(wanted())
            target = target[-1]
        else:
            if not isinstance(target.get(key), wanted):
                target[key] = wanted()
            target = target[key]
    if isinstance(target, list):
        target.append(value)
    else:
        target[keys[-1]] = value
    return made


def _near(schema: Schema) -> Iterator[object]:
    for one in (schema, *schema.get("anyOf", ())):
        yield from one.get("enum", ())
        yield from one.get("examples", ())
        if "const" in one:
            yield one["const"]
        if "default" in one:
            yield one["default"]
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if bound in one:
                yield from (one[bound] - 1, one[bound], one[bound] + 1, one[bound] + 0.5)
        if "maxLength" in one:
            yield from ("x" * one["maxLength"], "x" * (one["maxLength"] + 1))
