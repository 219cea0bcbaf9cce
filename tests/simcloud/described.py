"""Whether an answer is as its provider's published description says, for every call of a client."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator, ValidationError

from tests.providers.published import Description

# A fault's own answers: what a gateway says, or half a body, no API describes.
_GATEWAY = range(500, 600)


def checks_answers(
    description: Description,
    base: str = "",
    differences: Container[str] = (),
    to_schema: Callable[[Any], Any] = lambda schema: schema,
) -> Callable[[httpx.Response], None]:
    """A client's hook: compares a reply with its route's schema, where one is described.

    Args:
        base: what the description leaves out of a path.
        differences: known ones, "path field/field".
        to_schema: what makes the description's dialect JSON Schema.
    """

    def check(response: httpx.Response) -> None:
        for place, error in deviations(description, response, base, to_schema):
            if place not in differences:
                raise error

    return check


def deviations(
    description: Description,
    response: httpx.Response,
    base: str = "",
    to_schema: Callable[[Any], Any] = lambda schema: schema,
) -> Iterator[tuple[str, ValidationError]]:
    """Where a reply is not as described, as "path field/field"; half a body is compared with none.

    A field that is not described is named itself, where no other may be; a status as `HTTP 409`.
    """
    kind = response.headers.get("content-type", "").partition(";")[0]
    if response.status_code in _GATEWAY or not kind.endswith("json"):
        return
    path = response.request.url.path.removeprefix(base).rstrip("/")
    call = response.request.method.lower(), path, response.status_code
    template, content = _content(description.document, *call)
    if template and content is None:
        error = ValidationError(f"HTTP {call[2]} to {template} is not described")
        yield f"{template} HTTP {call[2]}", error
    if not content:
        return
    assert kind in content, f"{call} is answered in {kind}"
    response.read()
    try:
        body = response.json()
    except ValueError:
        return
    schema = to_schema(
        {**content[kind]["schema"], "components": description.document["components"]}
    )
    for error in Draft202012Validator(schema).iter_errors(body):
        place = [part for part in error.absolute_path if isinstance(part, str)]
        fields = [""]
        if error.validator == "additionalProperties":
            fields = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        for field in fields:
            yield f"{template} {'/'.join([*place, field]).rstrip('/')}".rstrip(), error


def _content(
    document: dict[str, Any], method: str, path: str, status: int
) -> tuple[str, dict[str, Any] | None]:
    """The path as it is described, "" where the call is not; what the answer holds, or None."""
    for template, calls in document["paths"].items():
        if method in calls and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            answers = calls[method]["responses"]
            answer = answers.get(str(status), answers.get("default"))
            if answer is not None and "$ref" in answer:
                name = answer["$ref"].rpartition("/")[2]
                answer = document["components"]["responses"][name]
            return template, None if answer is None else answer.get("content", {})
    return "", None
