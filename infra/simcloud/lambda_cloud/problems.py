"""Lambda's refusals: an envelope with a code; and what its edge says instead."""

from __future__ import annotations

from infra.simcloud.broken import Refusal
from infra.simcloud.web import Json, Reply, json_reply

NO_SUCH = "global/object-does-not-exist"


class Problem(Refusal):
    """A refusal: what was asked was not done."""

    def __init__(self, status: int, code: str, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Json] = {"code": code, "message": message}
        if suggestion:
            self.error["suggestion"] = suggestion

    def reply(self) -> Reply:
        """On the wire."""
        return json_reply({"error": self.error}, self.status)


def no_such(what: str, *, status: int = 404) -> Problem:
    """Nothing of that name or id on this account."""
    message = f"Specified {what} does not exist."
    return Problem(status, NO_SUCH, message, "Check the spelling and try again.")


def invalid(message: str) -> Problem:
    """A body that is not in order."""
    return Problem(400, "global/invalid-parameters", message)


def quota_exceeded() -> Problem:
    """The account may not have more at a time."""
    return Problem(400, "global/quota-exceeded", "Quota exceeded.", "Contact support.")


def inactive() -> Problem:
    """The account may do nothing."""
    code = "global/account-inactive"
    return Problem(403, code, "Your account is inactive.", "Contact support.")


def no_capacity() -> Problem:
    """A refusal that a list of capacity does not foretell."""
    message = "Not enough capacity to fulfill launch request."
    suggestion = "Choose an instance type with more availability, or try again later."
    return Problem(400, "instance-operations/launch/insufficient-capacity", message, suggestion)


def bad_key() -> Problem:
    """None, a wrong one, or one that was removed."""
    suggestion = "Check your API key or create a new one, then try again."
    return Problem(401, "global/invalid-api-key", "API key was invalid, expired, or deleted.",
                   suggestion)  # fmt: skip


def internal() -> Problem:
    """Of no description, but of every experience."""
    message = "An unexpected error occurred."
    return Problem(500, "global/internal-error", message, "Try again shortly.")


def blocked() -> Reply:
    """What the edge says to Python's own agent: no JSON."""
    return Reply(403, b"error code: 1010", {"Content-Type": "text/plain; charset=UTF-8"})


def html_502() -> Reply:
    """A gateway's page."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>502</body></html>"
    return Reply(502, page, {"Content-Type": "text/html"})
