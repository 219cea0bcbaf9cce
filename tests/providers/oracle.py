"""Whether what is sent, and what is answered, is as a provider's published description says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from tests.providers.published import Description

Found = Iterator[tuple[str, ValidationError]]

# A fault's own answers: what a gateway says, or half a body, no API describes.
_GATEWAY = range(500, 600)


class Oracle:
    """One provider's description; what is in it is compared, schema by schema."""

    def __init__(
        self,
        description: Description,
        *,
        under: str,
        base: str = "",
        to_schema: Callable[[Any], Any] = lambda schema: schema,
    ) -> None:
        """Read nothing yet.

        Args:
            under: where the API's paths begin; what lies beside it is another API.
            base: what the description leaves out of a path.
            to_schema: what makes the description's dialect JSON Schema.
        """
        self.provider = description.provider
        self._description = description
        self._under, self._base, self._to_schema = under, base, to_schema
        self._validators: dict[tuple[str, ...], Any] = {}

    def of_request(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Found:
        """Where a request is not as described, as "METHOD path field/field"."""
        if not path.startswith(self._under):
            return
        template, call = self._call(method, path)
        name = f"{method} {template}"
        if call is None:
            yield name, ValidationError(f"{name} is not described")
            return
        yield from self._of_query(name, call, query)
        asked = self._resolved(call.get("requestBody", {}))
        content = asked.get("content", {}).get("application/json", {})
        if not body:
            if asked.get("required"):
                yield name, ValidationError(f"{name} needs a body")
            return
        data = json.loads(body)
        schema = content.get("schema", {"maxProperties": 0})
        yield from self._of_data(name, (name,), schema, data)
        known = self._fields(schema)
        for field in sorted(set(data) - known) if known else ():
            yield f"{name} {field}", ValidationError(f"{field} is not described")

    def of_answer(self, method: str, path: str, status: int, kind: str, body: bytes) -> Found:
        """Where an answer is not as described, as "path field/field".

        A field that is not described is named itself, where no other may be; a status as
        `HTTP 409`. Half a body is compared with none.
        """
        kind = kind.partition(";")[0]
        template, call = self._call(method, path)
        if call is None or status in _GATEWAY or not kind.endswith("json"):
            return
        answer = call["responses"].get(str(status), call["responses"].get("default"))
        if answer is None:
            error = ValidationError(f"HTTP {status} to {template} is not described")
            yield f"{template} HTTP {status}", error
            return
        content = self._resolved(answer).get("content")
        if not content:
            return
        if kind not in content:
            yield f"{template} {kind}", ValidationError(f"{template} is answered in {kind}")
            return
        try:
            data = json.loads(body)
        except ValueError:
            return
        of = (method, template, str(status), kind)
        yield from self._of_data(template, of, content[kind]["schema"], data)

    @property
    def _document(self) -> dict[str, Any]:
        return self._description.document

    def _call(self, method: str, path: str) -> tuple[str, dict[str, Any] | None]:
        """The path as it is described, and the call; else the path as it is, and None."""
        path = path.removeprefix(self._base).rstrip("/")
        for template, calls in self._document["paths"].items():
            if method.lower() in calls and re.fullmatch(
                re.sub(r"\{\w+\}", "[^/]+", template), path
            ):
                call: dict[str, Any] = calls[method.lower()]
                return template, call
        return path, None

    def _of_query(self, name: str, call: dict[str, Any], query: Mapping[str, str]) -> Found:
        told = [self._resolved(one) for one in call.get("parameters", [])]
        known = {one["name"]: one for one in told if one["in"] == "query"}
        for field in sorted(set(query) - set(known)):
            yield f"{name} {field}", ValidationError(f"{field} is not described")
        for field, one in known.items():
            if field in query:
                data = _read(query[field], self._resolved(one["schema"]))
                for _, error in self._of_data(name, (name, field), one["schema"], data):
                    yield f"{name} {field}", error
            elif one.get("required"):
                yield f"{name} {field}", ValidationError(f"{field} is required")

    def _of_data(self, name: str, of: tuple[str, ...], schema: dict[str, Any], data: Any) -> Found:
        if of not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[of] = Draft202012Validator(self._to_schema(whole))
        for error in self._validators[of].iter_errors(data):
            for place in _places(error):
                yield f"{name} {place}".rstrip(), error

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        kind, name = node["$ref"].removeprefix("#/components/").split("/")
        found: dict[str, Any] = self._document["components"][kind][name]
        return found

    def _fields(self, schema: dict[str, Any]) -> set[str]:
        """Fields of an object that a schema names; none where any may be."""
        schema = self._resolved(schema)
        found = set(schema.get("properties", {}))
        for part in ("allOf", "anyOf", "oneOf"):
            for one in schema.get(part, []):
                found |= self._fields(one)
        return found


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """A value of a query as its schema takes it."""
    if schema.get("type") == "array":
        return text.split(",")
    if schema.get("type") in ("integer", "number", "boolean"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _places(error: ValidationError) -> list[str]:
    place = [part for part in error.absolute_path if isinstance(part, str)]
    fields = [""]
    if error.validator == "additionalProperties":
        instance: Any = error.instance
        schema: Any = error.schema
        fields = sorted(set(instance) - set(schema.get("properties", {})))
    return ["/".join([*place, field]).rstrip("/") for field in fields]
