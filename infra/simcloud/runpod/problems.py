"""RunPod's refusals: problem+json."""

from __future__ import annotations

import json
from collections.abc import Mapping

from infra.simcloud.broken import Refusal
from infra.simcloud.web import Reply

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
# The live text, 2026-08; also given for a wish that no machine can fulfil.
NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications. "
    "Please refresh and try again."
)

NO_FREE_GPUS = "There are not enough free GPUs on the host machine to start this pod."


class Problem(Refusal):
    """A refusal: what was asked was not done."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        """On the wire."""
        body: dict[str, object] = {
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        headers = {"Content-Type": "application/problem+json", **self.headers}
        return Reply(self.status, json.dumps(body).encode(), headers)


def invalid(*errors: str) -> Problem:
    """A body or query that does not validate."""
    return Problem(422, "Request validation failed.", errors=list(errors))


def html_502() -> Reply:
    """What the edge in front of the API answers when the API does not."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
    return Reply(502, page, {"Content-Type": "text/html"})
