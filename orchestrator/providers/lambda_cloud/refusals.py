"""What Lambda's answers mean that are no success. Codes decide, never prose. Pure."""

from __future__ import annotations

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
)
from orchestrator.providers.fields import to_object
from orchestrator.providers.http import Answer

NAME = "Lambda"
_HINT = "gpulease login lambda"
_NO_SUCH = "global/object-does-not-exist"
# To a launch: no machine was made. Anything else that is not listed here may have made one.
_PROOFS = (400, 401, 403, 404)
_INTERNAL = "global/internal-error"
_UPSTREAM = "provider/"
# No header says for how long; peers begin with ten seconds, and launches are 12 s apart.
_REST_S, _LAUNCH_REST_S = 10.0, 15.0


def words(answer: Answer) -> tuple[str, str]:
    """Code and message of the API's own error; both empty for what something in between says."""
    error = to_object((answer.problem() or {}).get("error"))
    code, message = error.get("code"), error.get("message")
    if not isinstance(code, str) or not code:
        return "", ""
    return code, message if isinstance(message, str) else ""


def says_no_such_object(answer: Answer) -> bool:
    """Whether Lambda itself says that this account has nothing of that id."""
    return answer.status == 404 and words(answer)[0] == _NO_SUCH


def says_no_such_key(answer: Answer) -> bool:
    """The same of an SSH key, for which the published description has the code of lists."""
    return answer.status == 404 and words(answer)[0] in (_NO_SUCH, "global/not-found")


def to_error(answer: Answer) -> ProviderError:
    """What an answer that is no success means for a call that rents nothing."""
    code, _ = words(answer)
    status, problem = answer.status, _told(answer)
    if status == 401:
        return BadCredentials(f"the key was refused: {problem}", hint=_HINT)
    if status == 403 and code:  # without a code it is the edge that blocks us, not the account
        return BadCredentials(f"the account or its key may not: {problem}", hint=_HINT)
    if status == 429:
        return RateLimited(problem, retry_after_s=_REST_S)
    if status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    is_ours = 400 <= status < 500 and status not in (404, 408, 409)
    if is_ours and code and code != _INTERNAL and not code.startswith(_UPSTREAM):
        return InvalidRequest(problem)
    return ProviderDown(problem)


def to_launch_error(answer: Answer) -> ProviderError:
    """What a launch means that was no success; only a refusal with a code proves anything.

    A 429 is told as such and is no proof: one was seen in a launch that left a machine behind
    (skypilot-org/skypilot#2261).
    """
    code, message = words(answer)
    problem = f"{NAME} refused to rent (HTTP {answer.status}): {code} {message}".strip()
    if answer.status == 429:
        return RateLimited(problem, retry_after_s=_LAUNCH_REST_S)
    if answer.status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    is_theirs = code == _INTERNAL or code.startswith(_UPSTREAM)
    if answer.status not in _PROOFS or not code or is_theirs:
        return OutcomeUnknown(f"{NAME} answered HTTP {answer.status} to a launch; one may exist")
    match code:
        case "instance-operations/launch/insufficient-capacity":
            return NoCapacity(problem)
        case "instance-operations/launch/file-system-in-wrong-region":
            return OfferRefused(problem)
        case "global/quota-exceeded":
            return QuotaExceeded(problem, hint="a new account may have few instances at a time")
        case "global/invalid-address":
            hint = "complete the billing address in Lambda's console"
            return QuotaExceeded(problem, hint=hint)
        case "global/forbidden":
            return OfferRefused(problem, hint="if every offer says so, the account may not rent")
    if answer.status in (401, 403):
        return BadCredentials(problem, hint=_HINT)
    return InvalidRequest(problem)


def _told(answer: Answer) -> str:
    code, message = words(answer)
    said = "".join(letter if letter.isprintable() else " " for letter in f"{code} {message}")
    said = " ".join(said.split())[:300]
    return f"{NAME} answered HTTP {answer.status}" + (f": {said}" if said else "")
