"""Paperspace's refusals: a code and a message; and what stands before its API says instead."""

from __future__ import annotations

from infra.simcloud.broken import Refusal
from infra.simcloud.web import Reply, json_reply

_STATUS = {
    "PARSE_ERROR": 400,
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_SUPPORTED": 405,
    "CONFLICT": 409,
    "GONE": 410,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "TOO_MANY_REQUESTS": 429,
    "INTERNAL_SERVER_ERROR": 500,
}


class Problem(Refusal):
    """A refusal: what was asked was not done."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status or _STATUS[code]
        self.code = code
        self.message = message

    def reply(self) -> Reply:
        """On the wire."""
        return json_reply({"code": self.code, "message": self.message}, self.status)


def no_such(what: str) -> Problem:
    """Nothing of that id for this team."""
    return Problem("NOT_FOUND", f"{what} not found")


def bad(message: str) -> Problem:
    """A body or a state that is not in order."""
    return Problem("BAD_REQUEST", message)


def unparsed() -> Problem:
    """A body that should be JSON, and is none or empty."""
    return Problem("PARSE_ERROR", "Unexpected end of JSON input")


def bad_key() -> Problem:
    """None, a wrong one, or one that was removed."""
    return Problem("UNAUTHORIZED", "You must be logged in to do that.")


def internal(status: int = 500) -> Problem:
    """Of no description, but of every experience."""
    return Problem("INTERNAL_SERVER_ERROR", "Something went wrong.", status)


def html_502() -> Reply:
    """A gateway's page."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>502</body></html>"
    return Reply(502, page, {"Content-Type": "text/html"})
