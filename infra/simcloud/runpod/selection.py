"""Reading GraphQL: as much of the language as RunPod's clients use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.simcloud.web import Json

_TOKEN = re.compile(
    r'\s*(?:#[^\n]*\n\s*|,\s*)*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|\$?\w+|[{}()\[\]:!=])'
)


class SyntaxProblem(ValueError):
    """The text is not GraphQL, or more of it than is understood here."""


@dataclass(frozen=True, slots=True)
class Field:
    """One selected field."""

    name: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    selected: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A query or a mutation."""

    kind: str
    fields: tuple[Field, ...]


def parse(text: str, variables: Mapping[str, Json] | None = None) -> Operation:
    """The first operation of a document. Raises: SyntaxProblem.

    >>> parse('mutation{podStop(input:{podId:"p1"}){id}}').fields[0].arguments
    {'input': {'podId': 'p1'}}
    """
    return _Reader(text, variables or {}).operation()


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, Json]) -> None:
        self._tokens = self._split(text)
        self._at = 0
        self._variables = variables

    def operation(self) -> Operation:
        kind = "query"
        if self._peek() in ("query", "mutation"):
            kind = self._next()
        if self._peek() not in ("{", "("):
            self._next()  # the operation's own name
        if self._peek() == "(":
            while self._next() != ")":  # declarations: types are not checked here
                pass
        return Operation(kind, self._selection())

    def _selection(self) -> tuple[Field, ...]:
        self._expect("{")
        fields = []
        while self._peek() != "}":
            fields.append(self._field())
        self._expect("}")
        return tuple(fields)

    def _field(self) -> Field:
        name = self._next()
        if not name.isidentifier():
            raise SyntaxProblem(f"Syntax Error: Expected Name, found {name!r}.")
        arguments: dict[str, Json] = {}
        if self._peek() == "(":
            arguments = self._pairs("(", ")")
        selected = self._selection() if self._peek() == "{" else ()
        return Field(name, arguments, selected)

    def _pairs(self, opening: str, closing: str) -> dict[str, Json]:
        self._expect(opening)
        pairs: dict[str, Json] = {}
        while self._peek() != closing:
            name = self._next()
            self._expect(":")
            pairs[name] = self._value()
        self._expect(closing)
        return pairs

    def _value(self) -> Json:
        token = self._peek()
        if token == "{":
            return self._pairs("{", "}")
        if token == "[":
            self._expect("[")
            values = []
            while self._peek() != "]":
                values.append(self._value())
            self._expect("]")
            return values
        self._next()
        if token.startswith("$"):
            return self._variables.get(token[1:])
        if token[0] in '"-0123456789' or token in ("true", "false", "null"):
            value: Json = json.loads(token)
            return value
        return token  # a word of an enumeration

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            raise SyntaxProblem("Syntax Error: Unexpected <EOF>.")
        return self._tokens[self._at]

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise SyntaxProblem(f"Syntax Error: Expected {token!r}, found {found!r}.")

    @staticmethod
    def _split(text: str) -> list[str]:
        tokens, at = [], 0
        text = text.rstrip().rstrip(",")
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise SyntaxProblem(f"Syntax Error: Cannot parse at {at}.")
            tokens.append(match[1])
            at = match.end()
        return tokens
