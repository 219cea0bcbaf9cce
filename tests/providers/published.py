"""A provider's published API description, cut down to the calls that are made, as a golden file.

Tests read the golden copy, so they run wherever the project is checked out. Where the published
file lies beside the checkout, a test compares the copy with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
Calls = Mapping[str, tuple[str, ...]]

# What a description says to people; a schema holds without it.
_WORDS = {
    "description", "example", "examples", "externalDocs", "operationId", "security", "summary",
    "tags", "title",
}  # fmt: skip
# Below these are names, and a name may be one of the words.
_NAMED = {"headers", "parameters", "paths", "properties", "responses", "schemas"}


@dataclass(frozen=True)
class Description:
    """One provider's: `calls` are the methods of each path that client and simulator know."""

    provider: str
    file: str
    calls: Calls

    @property
    def golden(self) -> Path:
        return PROJECT / "tests" / "golden" / self.provider / "openapi.json"

    @property
    def published(self) -> Path:
        """Where the project is developed; it is not copied into it."""
        return PROJECT.parent / "shared" / "openapi" / self.file

    @cached_property
    def document(self) -> dict[str, Any]:
        """The golden copy."""
        kept: dict[str, Any] = json.loads(self.golden.read_text())
        return kept

    def cut_down(self) -> dict[str, Any]:
        """The golden copy as the published file has it today."""
        whole = self.read_published()
        made: dict[str, Any] = {
            "info": {"version": whole["info"]["version"]},
            "servers": [{"url": whole["servers"][0]["url"]}],
            "paths": {
                path: {
                    name: call
                    for name, call in whole["paths"][path].items()
                    if name in (*methods, "parameters")
                }
                for path, methods in self.calls.items()
            },
            "components": {},
        }
        made = _without_words(made)
        waiting, done = set(_references(made)), set[str]()
        while waiting:
            done.add(reference := waiting.pop())
            kind, name = reference.removeprefix("#/components/").split("/")
            part = _without_words(whole["components"][kind][name])
            made["components"].setdefault(kind, {})[name] = part
            waiting |= set(_references(part)) - done
        return made

    def read_published(self) -> dict[str, Any]:
        """The published file, whole."""
        from ruamel.yaml import YAML

        text = self.published.read_text()
        read = json.loads if self.file.endswith(".json") else YAML(typ="safe").load
        whole: dict[str, Any] = read(text)
        return whole


def _without_words(node: Any, *, names: bool = False) -> Any:
    if isinstance(node, list):
        return [_without_words(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        name: _without_words(value, names=name in _NAMED and not names)
        for name, value in node.items()
        if names or not (name in _WORDS or name.startswith("x-"))
    }


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _references(one)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
