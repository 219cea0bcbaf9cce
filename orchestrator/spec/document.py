"""YAML 1.2 text → plain values, with the place of each; numbers keep the text they were written as.

The core schema is resolved here, so `on` is text, `5e-5` a float and money never passes through a
binary float. Tags and merge keys are refused; anchors are counted as often as they are used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from orchestrator.spec.nearest import printable, quoted

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Keys: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1 << 20
_MAX_NODES = 20_000
_MAX_DEPTH = 40
_LONGEST_NUMBER = 64

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class WrittenInt(int):
    """A whole number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> WrittenInt:
        made = super().__new__(cls, text, 0 if text[:2] in ("0x", "0o") else 10)
        made.text = text
        return made


class WrittenFloat(float):
    """A number that remembers how it was written.

    >>> WrittenFloat("0.10").text
    '0.10'
    """

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        made = super().__new__(cls, text.replace(".inf", "inf").replace(".nan", "nan"))
        made.text = text
        return made


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written: a line of a file, or an option of the command line."""

    source: str
    line: int = 0  # 0: not a file

    def __str__(self) -> str:
        source = printable(self.source)
        return f"{source}:{self.line}" if self.line else source


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake and where it is."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class Unreadable(Exception):
    """The text is not YAML that a job may be written in."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one YAML document, the place of each key, and what can be read past."""

    value: Value
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, keys: Keys) -> Place:
        """Where `keys` was written, or the nearest thing above it."""
        while keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]


def read_document(content: bytes | str, source: str) -> Document:
    """The one document in `content`; duplicate keys are in `problems`.

    Raises: Unreadable, with the line.
    """
    text = _decode(content, source)
    try:
        return _Composer(YAML(typ="safe", pure=True).parse(text), source).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        words = " ".join(filter(None, (error.context, error.problem)))
        raise Unreadable(Problem(Place(source, line), f"not valid YAML: {words}")) from error
    except (YAMLError, YAMLStreamError) as error:
        place = Place(source, _line_of_control_character(text))
        raise Unreadable(Problem(place, "not valid YAML: a character that YAML forbids")) from error


def read_scalar(text: str) -> Value:
    """A plain scalar by YAML 1.2's core schema.

    >>> read_scalar("on"), read_scalar("5e-5"), read_scalar("0x10"), read_scalar("~")
    ('on', 5e-05, 16, None)
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return WrittenInt(text)
    if _FLOAT.fullmatch(text):
        return WrittenFloat(text)
    if _NOT_FINITE.fullmatch(text):
        return WrittenFloat(text.lower())
    return text


def _decode(content: bytes | str, source: str) -> str:
    raw = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    if len(raw) > MAX_BYTES:
        raise Unreadable(Problem(Place(source, 1), "larger than 1 MiB: that is not a job file"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(Problem(Place(source, line), "not UTF-8 text")) from error


def _line_of_control_character(text: str) -> int:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.replace("\t", "").isprintable():
            return number
    return 1


class _Composer:
    def __init__(self, events: Iterator[Event], source: str) -> None:
        self._events = events
        self._source = source
        self._nodes = 0
        self._anchors: dict[str, tuple[Value, int]] = {}
        self._places: dict[Keys, Place] = {}
        self._problems: list[Problem] = []

    def document(self) -> Document:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, StreamEndEvent):
            raise Unreadable(Problem(Place(self._source, 1), "the file is empty"))
        event = next(self._events)
        self._places[()] = self._place(event)
        value = self._node(event, ())
        event = next(self._events)
        assert isinstance(event, DocumentEndEvent)
        event = next(self._events)
        if not isinstance(event, StreamEndEvent):
            raise self._unreadable(event, "a second document: one job per file")
        return Document(value, self._places, self._problems)

    def _node(self, event: Event, keys: Keys) -> Value:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if (tag := getattr(event, "tag", None)) is not None:
            raise self._unreadable(event, f"tags such as {quoted(str(tag))} are not supported")
        if len(keys) > _MAX_DEPTH:
            raise self._unreadable(event, "nested too deeply")
        before = self._nodes
        value: Value
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(keys)
        else:
            assert isinstance(event, MappingStartEvent)
            value = self._mapping(keys)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _alias(self, event: AliasEvent) -> Value:
        if event.anchor not in self._anchors:
            raise self._unreadable(
                event, f"nothing is anchored as {quoted(f'&{event.anchor}')} above"
            )
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        return value

    def _scalar(self, event: ScalarEvent) -> Value:
        text: str = event.value
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise self._unreadable(event, "text may not hold NUL or half a surrogate pair")
        return read_scalar(text) if event.implicit[0] else text

    def _sequence(self, keys: Keys) -> list[Value]:
        items: list[Value] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            path = (*keys, len(items))
            self._places[path] = self._place(event)
            items.append(self._node(event, path))
        return items

    def _mapping(self, keys: Keys) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            name = self._key(event)
            path = (*keys, name)
            place = self._place(event)
            if name in entries:
                first = self._places[path]
                text = f"{quoted(name)} is written twice (first in line {first.line})"
                self._problems.append(Problem(place, text))
            self._places[path] = place
            entries[name] = self._node(next(self._events), path)
        return entries

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent):
            raise self._unreadable(event, "a key must be a plain word")
        if event.value == "<<" and event.implicit[0]:
            raise self._unreadable(event, "merge keys (<<) are not part of YAML 1.2")
        self._scalar(event)
        name: str = event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = (name, 1)
        return name

    def _count(self, event: Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MAX_NODES:
            raise self._unreadable(event, f"more than {_MAX_NODES} values: not a job file")

    def _place(self, event: Event) -> Place:
        return Place(self._source, event.start_mark.line + 1)

    def _unreadable(self, event: Event, text: str) -> Unreadable:
        return Unreadable(Problem(self._place(event), text))
