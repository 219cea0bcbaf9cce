"""What Vast.ai's answers mean that are no success: no status is trusted without its body. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InsufficientFunds,
    InvalidRequest,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    RentedAnyway,
)
from orchestrator.providers.fields import to_integer, to_number
from orchestrator.providers.http import Answer

_HINT = "gpulease login vast"
_KEY = {"auth_error", "2fa_expired", "tfa_locked", "2fa_verification_failed"}
_KEY_TEXTS = re.compile(
    r"invalid user key|requires login|session expired|two factor authentication", re.IGNORECASE
)
_FUNDS = re.compile(r"insufficient[ _]credit|missing_billing", re.IGNORECASE)
_TOO_FREQUENT = re.compile(r"requests too frequent", re.IGNORECASE)
_THRESHOLD = re.compile(r"threshold=(\d{1,3}(?:\.\d{1,3})?)")
_GONE = {"no_such_instance", "not_found"}
_ASK_OF = re.compile(r"Instance type(?: by id)? (\d{1,19})")
# Seconds to wait after a 429: for what a create is punished with, and for anything else.
_CREATE_PENALTY_S = 12.0
_SHORTEST_S, _LONGEST_S = 2.0, 60.0
_DAY_S = 86_400.0


def words(answer: Answer) -> tuple[str, str]:
    """The code and the text of an error, each "" where there is none.

    Some answers leave out `success` or `error`, and some are plain text.
    """
    problem = answer.problem()
    if problem is None:
        text = answer.body.decode("utf-8", "replace").strip()
        return "", text if _TOO_FREQUENT.match(text) else ""
    texts = [problem.get(key) for key in ("msg", "message", "detail")]
    text = next((one for one in texts if isinstance(one, str) and one), "")
    code = problem.get("error")
    return (code if isinstance(code, str) else ""), text


def is_success(answer: Answer) -> bool:
    """Whether the call worked: 2xx, an object, and no word to the contrary."""
    problem = answer.problem()
    good = 200 <= answer.status < 300 and problem is not None
    return (
        good
        and problem is not None
        and problem.get("success") is not False
        and not (problem.get("error"))
    )


def says_no_such_instance(answer: Answer) -> bool:
    """Whether Vast.ai itself says that there is no such instance: never a refused key's 404."""
    code, _ = words(answer)
    return code in _GONE and not refuses_key(answer) and answer.status in (200, 404, 410)


def refuses_key(answer: Answer) -> bool:
    """Whether it is about the key, whatever the status: a revoked one is answered with 404."""
    code, text = words(answer)
    return code in _KEY or answer.status == 401 or _KEY_TEXTS.search(text) is not None


def to_error(answer: Answer, now_s: float) -> ProviderError:
    """What an answer that is no success means for a call that rents nothing."""
    code, text = words(answer)
    status = answer.status
    problem = f"Vast.ai answered HTTP {status}" + (f": {_said(code, text)}" if code or text else "")
    if refuses_key(answer):
        return BadCredentials(f"the key was refused: {problem}", hint=_HINT)
    if status == 429 or code == "rate_limit_exceeded" or _TOO_FREQUENT.search(text):
        return RateLimited(problem, retry_after_s=retry_after_s(answer, now_s))
    if status == 403:
        return BadCredentials(f"the key lacks the right: {problem}", hint=_HINT)
    if code == "deprecated_endpoint" or status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    if 400 <= status < 500 and status not in (404, 408) and answer.problem() is not None:
        return InvalidRequest(problem)
    return ProviderDown(problem)


def to_create_error(answer: Answer, ask: str, now_s: float) -> ProviderError:
    """What a create means that was no plain success; only an explicit refusal rented nothing.

    Args:
        ask: id of the offer that was asked for.
    """
    body = answer.problem() or {}
    code, text = words(answer)
    problem = f"Vast.ai refused to rent (HTTP {answer.status}): {_said(code, text)}"
    if (contract := to_integer(body.get("new_contract"))) > 0:
        return RentedAnyway(f"{problem}; instance {contract} exists", machine_id=str(contract))
    unknown = OutcomeUnknown(
        f"Vast.ai answered HTTP {answer.status} to a create; an instance may exist"
    )
    # By their words first: no document tells under which status `spend_rate_limit` comes.
    if _FUNDS.search(f"{code} {text}"):
        return InsufficientFunds(problem, hint="add credit to the Vast.ai account")
    if code == "spend_rate_limit":
        hint = "a new account may spend little until its e-mail address is verified"
        return QuotaExceeded(problem, hint=hint)
    if refuses_key(answer) or answer.status == 429:
        return to_error(answer, now_s) if answer.status != 429 else _create_limited(answer, now_s)
    if "no_such_ask" in f"{code} {text}":
        return NoCapacity(problem) if _is_of(ask, text, body) else unknown
    if not 400 <= answer.status < 500 or answer.status == 408 or code in ("", "server_error"):
        return unknown
    if answer.status == 403:
        is_offers = "not your own" in text
        return OfferRefused(problem) if is_offers else to_error(answer, now_s)
    return InvalidRequest(problem)


def retry_after_s(answer: Answer, now_s: float, *, least_s: float = _SHORTEST_S) -> float:
    """Seconds to wait after a 429, by header, body, or the threshold that it names.

    The day's quota of searches is over until its reset, however often one asks.
    """
    code, text = words(answer)
    if code == "search_quota_exceeded":
        reset_s = _number(answer.headers.get("x-ratelimit-reset", ""))
        return min(_DAY_S, max(_LONGEST_S, reset_s - now_s)) if reset_s else _DAY_S
    body: Mapping[str, object] = answer.problem() or {}
    threshold = _THRESHOLD.search(text)
    waits = [
        _number(answer.headers.get("retry-after", "")),
        to_number(body.get("retry_after")) or 0.0,
        float(threshold[1]) if threshold else 0.0,
    ]
    return min(_LONGEST_S, max(least_s, *waits))


def _create_limited(answer: Answer, now_s: float) -> RateLimited:
    """A create that came too soon: nothing was rented, and the next must wait out a penalty."""
    wait_s = retry_after_s(answer, now_s, least_s=_CREATE_PENALTY_S)
    return RateLimited("Vast.ai wants fewer creates", retry_after_s=wait_s)


def _is_of(ask: str, text: str, body: Mapping[str, object]) -> bool:
    """Whether it is about the offer that was asked for; its id is not always told."""
    told = list(_ASK_OF.findall(text))
    told += [str(body["ask_id"])] if to_integer(body.get("ask_id")) else []
    return all(one == ask for one in told)


def _number(text: str) -> float:
    """A header's number; 0 for anything else."""
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*", text)
    return float(match[1]) if match else 0.0


def _said(code: str, text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in f"{code} {text}")
    return " ".join(printable.split())[:300]
