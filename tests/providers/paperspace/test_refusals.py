from __future__ import annotations

import json

import pytest

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
from orchestrator.providers.http import Answer
from orchestrator.providers.paperspace.refusals import (
    says_no_such_object,
    says_not_now,
    to_create_error,
    to_error,
)


def answer(status: int, code: str = "", **headers: str) -> Answer:
    body = json.dumps({"code": code, "message": "No.\x1b[2J"}) if code else "<html>no</html>"
    return Answer(status, headers, body.encode())


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (answer(401, "UNAUTHORIZED"), BadCredentials),
        (answer(401), BadCredentials),
        (answer(403, "FORBIDDEN"), BadCredentials),
        (answer(403), ProviderDown),
        (answer(400, "BAD_REQUEST"), InvalidRequest),
        (answer(404, "NOT_FOUND"), ProviderDown),
        (answer(408, "TIMEOUT"), ProviderDown),
        (answer(409, "CONFLICT"), ProviderDown),
        (answer(410, "GONE"), ApiGone),
        (answer(429), RateLimited),
        (answer(499, "CLIENT_CLOSED_REQUEST"), ProviderDown),
        (answer(500, "INTERNAL_SERVER_ERROR"), ProviderDown),
        (answer(502), ProviderDown),
    ],
)
def test_codes_decide_what_an_error_means(told: Answer, kind: type[ProviderError]) -> None:
    error = to_error(told)

    assert type(error) is kind
    assert "\x1b" not in error.problem


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (answer(400, "BAD_REQUEST"), InvalidRequest),
        (answer(400, "PARSE_ERROR"), InvalidRequest),
        (answer(401, "UNAUTHORIZED"), BadCredentials),
        (answer(403, "FORBIDDEN"), OfferRefused),
        (answer(404, "NOT_FOUND"), InvalidRequest),
        (answer(412, "PRECONDITION_FAILED"), OfferRefused),
        (answer(413, "PAYLOAD_TOO_LARGE"), InvalidRequest),
    ],
)
def test_a_known_code_to_a_create_proves_that_nothing_was_rented(
    told: Answer, kind: type[ProviderError]
) -> None:
    assert type(to_create_error(told)) is kind


@pytest.mark.parametrize(
    "told",
    [
        answer(400),
        answer(401),
        answer(403),
        answer(404),
        answer(400, "SOMETHING_NEW"),
        answer(500, "BAD_REQUEST"),
        answer(408, "TIMEOUT"),
        answer(409, "CONFLICT"),
        answer(499, "CLIENT_CLOSED_REQUEST"),
        answer(500, "INTERNAL_SERVER_ERROR"),
        answer(502),
    ],
)
def test_whatever_else_a_create_is_told_may_have_rented(told: Answer) -> None:
    assert type(to_create_error(told)) is OutcomeUnknown


def test_too_many_calls_rest_ten_seconds_or_as_long_as_is_told() -> None:
    waits = [to_error(answer(429)), to_create_error(answer(429, **{"retry-after": "42"}))]

    assert [getattr(one, "retry_after_s", 0) for one in waits] == [10.0, 42.0]


def test_only_the_apis_own_404_says_that_something_is_not_there() -> None:
    assert says_no_such_object(answer(404, "NOT_FOUND"))
    for other in (answer(404), answer(404, "SOMETHING"), answer(410, "NOT_FOUND")):
        assert not says_no_such_object(other)


@pytest.mark.parametrize(("status", "code"), [(400, "BAD_REQUEST"), (409, "CONFLICT"), (412, "X")])
def test_a_state_that_is_not_one_for_a_call_is_told_in_three_ways(status: int, code: str) -> None:
    assert says_not_now(answer(status, code))
    assert not says_not_now(answer(status))
