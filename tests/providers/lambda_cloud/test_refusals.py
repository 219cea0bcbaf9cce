from __future__ import annotations

import json

import pytest

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.providers.http import Answer
from orchestrator.providers.lambda_cloud import refusals


def answer(status: int, code: str = "", message: str = "No.") -> Answer:
    body = json.dumps({"error": {"code": code, "message": message}}) if code else "<html>"
    return Answer(status, {}, body.encode())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "global/invalid-api-key", BadCredentials),
        (401, "", BadCredentials),
        (403, "global/account-inactive", BadCredentials),
        (403, "", ProviderDown),  # the edge blocks us: nothing is said of the key
        (404, "global/not-found", ProviderDown),
        (404, "", ProviderDown),
        (400, "global/invalid-parameters", InvalidRequest),
        (400, "", ProviderDown),
        (400, "provider/internal-unavailable", ProviderDown),
        (409, "global/conflict", ProviderDown),
        (409, "global/internal-error", ProviderDown),
        (410, "global/not-found", ApiGone),
        (429, "", RateLimited),
        (500, "global/internal-error", ProviderDown),
        (302, "", ProviderDown),
    ],
)
def test_a_call_that_rents_nothing_ends_as_code_and_status_say(
    status: int, code: str, kind: type[ProviderError]
) -> None:
    assert type(refusals.to_error(answer(status, code))) is kind


@pytest.mark.parametrize("status", [200, 302, 409, 418, 500, 502, 503])
def test_no_code_makes_a_proof_of_a_status_that_is_none(status: int) -> None:
    code = "instance-operations/launch/insufficient-capacity"

    assert type(refusals.to_launch_error(answer(status, code))) is OutcomeUnknown


def test_prose_decides_nothing() -> None:
    said = answer(400, "global/invalid-parameters", "Not enough capacity, quota exceeded")

    assert type(refusals.to_launch_error(said)) is InvalidRequest


def test_a_429_without_headers_is_waited_out_for_the_pace_of_launches() -> None:
    limited = refusals.to_launch_error(answer(429))

    assert isinstance(limited, RateLimited)
    assert limited.retry_after_s >= 12


def test_what_is_told_is_one_printable_line() -> None:
    told = refusals.to_error(answer(400, "global/x", "a\nb\x1b[31m" + "c" * 999))

    assert "\n" not in told.problem
    assert "\x1b" not in told.problem
    assert len(told.problem) < 400


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"error": 7}', b'{"error": {"code": 7}}'])
def test_what_is_no_envelope_has_no_code(body: bytes) -> None:
    assert refusals.words(Answer(404, {}, body)) == ("", "")
    assert not refusals.says_no_such_object(Answer(404, {}, body))
    assert not refusals.says_no_such_key(Answer(404, {}, body))
