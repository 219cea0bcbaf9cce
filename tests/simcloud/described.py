"""Whether an answer is as RunPod's published description says, for every call of a client."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from tests.providers.runpod.openapi import DESCRIPTION

# A fault's own answers: what a gateway says, or half a body, no API describes.
_GATEWAY = range(500, 600)


def check_answer(response: httpx.Response) -> None:
    """Compare a reply of REST v2 with its route's schema."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if response.status_code in _GATEWAY or not kind.endswith("json"):
        return
    call = response.request.method.lower(), response.request.url.path, response.status_code
    if (content := _content(*call)) is None:
        return
    assert kind in content, f"{call} is answered in {kind}"
    response.read()
    schema = {**content[kind]["schema"], "components": DESCRIPTION.document["components"]}
    Draft202012Validator(schema).validate(response.json())


@cache
def _content(method: str, path: str, status: int) -> dict[str, Any] | None:
    """What the answer of a call may hold; None when it is not described."""
    for template, calls in DESCRIPTION.document["paths"].items():
        if method in calls and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            answers = calls[method]["responses"]
            answer = answers.get(str(status), answers["default"])
            if "$ref" in answer:
                name = answer["$ref"].rpartition("/")[2]
                answer = DESCRIPTION.document["components"]["responses"][name]
            content: dict[str, Any] = answer.get("content", {})
            return content
    return None
