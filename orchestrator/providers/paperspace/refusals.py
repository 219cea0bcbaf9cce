"""What Paperspace's answers mean that are no success. Codes decide, never prose. Pure."""

from __future__ import annotations

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.providers.http import Answer, one_line, retry_after_s

NAME = "Paperspace"
_HINT = "gpulease login paperspace"
# To a create: no machine was made. No code is known for capacity, quota or money, and whatever is
# not listed here may have made one.
_PROOFS = {
    "PARSE_ERROR": 400,
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_SUPPORTED": 405,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
}
# A call on one machine that its state does not allow.
_NOT_NOW = (400, 409, 412)
# Limits are not published; peers begin with ten seconds.
_REST_S = 10.0


def words(answer: Answer) -> tuple[str, str]:
    """Code and message of the API's own error; both empty for what something in between says."""
    problem = answer.problem() or {}
    code, message = problem.get("code"), problem.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return "", ""
    return code, message


def says_no_such_object(answer: Answer) -> bool:
    """Whether Paperspace itself says that this team has nothing of that id."""
    return answer.status == 404 and words(answer)[0] == "NOT_FOUND"


def says_not_now(answer: Answer) -> bool:
    """Whether Paperspace itself says that the machine's state is not one for this call."""
    return answer.status in _NOT_NOW and bool(words(answer)[0])


def to_error(answer: Answer) -> ProviderError:
    """What an answer that is no success means for a call that rents nothing."""
    code, message = words(answer)
    status, said = answer.status, one_line(f"{code} {message}".strip())
    problem = f"{NAME} answered HTTP {status}" + (f": {said}" if said else "")
    if status == 401:
        return BadCredentials(f"the key was refused: {problem}", hint=_HINT)
    if status == 403 and code:  # without a code it is the edge that blocks us, not the account
        return BadCredentials(f"the account or its key may not: {problem}", hint=_HINT)
    if status == 429:
        return RateLimited(problem, retry_after_s=_rest_s(answer))
    if status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    if 400 <= status < 500 and code and status not in (404, 408, 409, 499):
        return InvalidRequest(problem)
    return ProviderDown(problem)


def to_create_error(answer: Answer) -> ProviderError:
    """What a create means that was no success; only a known code and its status prove anything."""
    code, message = words(answer)
    problem = one_line(f"{NAME} refused to rent (HTTP {answer.status}): {code} {message}".strip())
    if answer.status == 429:
        return RateLimited(problem, retry_after_s=_rest_s(answer))
    if answer.status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    if _PROOFS.get(code) != answer.status:
        return OutcomeUnknown(f"{NAME} answered HTTP {answer.status} to a create; one may exist")
    if answer.status == 401:
        return BadCredentials(problem, hint=_HINT)
    if answer.status in (403, 412):
        hint = "large types may need an approval by Paperspace's support, and a team has a limit"
        return OfferRefused(problem, hint=hint)
    return InvalidRequest(problem)


def _rest_s(answer: Answer) -> float:
    return max(_REST_S, retry_after_s(answer.headers))
