"""What the parts of a job demand of each other; each rule sees the job as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from orchestrator.spec.explain import Mistake, missing
from orchestrator.spec.train import ONLY_WITH_ADAPTER

DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_FOR_OUR_PROGRAMS = ("model", "task", "data")
_NOT_WITH_CODE = ("task", "method", "train", "stage")
_COLUMNS_OF_LABELS = ("text", "label")
_COLUMNS_OF_LANGUAGE = (
    "text",
    "messages",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "system",
)


def broken_rules(written: Mapping[str, object]) -> Iterator[Mistake]:
    """Every rule between keys that `written` breaks; types are somebody else's to check."""
    present = {key for key, value in written.items() if value is not None}
    if "code" in present:
        yield from _own_code(written, present)
    else:
        yield from _our_program(written, present)
    yield from _overlaps(written)


def _our_program(written: Mapping[str, object], present: set[str]) -> Iterator[Mistake]:
    absent = [key for key in _FOR_OUR_PROGRAMS if key not in present]
    if len(absent) == len(_FOR_OUR_PROGRAMS):
        yield Mistake((), "nothing to run: write `model`, `task` and `data`, or `code`")
        return
    for key in absent:
        yield missing((key,))
    data = _mapping(written.get("data"))
    for split in ("train", "eval"):
        path = data.get(split)
        if isinstance(path, str) and "://" not in path and path.strip():
            suffix = PurePath(path).suffix
            if suffix.lower() not in DATA_SUFFIXES:
                text = f"data.{split}: the name must end in one of {', '.join(DATA_SUFFIXES)}"
                yield Mistake(("data", split), text)

    language = written.get("task") == "causal-lm"
    known = _COLUMNS_OF_LANGUAGE if language else _COLUMNS_OF_LABELS
    for role in _mapping(data.get("columns")):
        if role in {*_COLUMNS_OF_LANGUAGE, *_COLUMNS_OF_LABELS} and role not in known:
            text = f"data.columns.{role}: has no meaning here; {', '.join(known)} have"
            yield Mistake(("data", "columns", role), text)
    if language and written.get("method") == "full":
        for name in ONLY_WITH_ADAPTER:
            if _mapping(written.get("train")).get(name) is not None:
                text = f"train.{name}: has no meaning with `method: full`, which has no adapter"
                yield Mistake(("train", name), text)


def _own_code(written: Mapping[str, object], present: set[str]) -> Iterator[Mistake]:
    for key in _NOT_WITH_CODE:
        if key in present:
            text = f"`{key}` has no meaning beside `code`: the command decides"
            yield Mistake((key,), text)
    if _mapping(_mapping(written.get("data")).get("columns")):
        text = "`data.columns` has no meaning beside `code`: the command decides"
        yield Mistake(("data", "columns"), text)


def _overlaps(written: Mapping[str, object]) -> Iterator[Mistake]:
    secrets = _texts(written.get("secrets"))
    for name in _mapping(written.get("env")):
        if name in secrets:
            yield Mistake(("env", name), f"env.{name}: also listed under `secrets`; keep one")
    regions = _mapping(written.get("regions"))
    denied = _texts(regions.get("deny"))
    for region in _texts(regions.get("allow")):
        if region in denied:
            yield Mistake(("regions", "allow"), f"regions: {region} is both allowed and denied")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
