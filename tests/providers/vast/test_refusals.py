from __future__ import annotations

import json
from typing import Any

import pytest

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
from orchestrator.providers.http import Answer
from orchestrator.providers.vast.refusals import (
    is_success,
    says_no_such_instance,
    to_create_error,
    to_error,
)
from tests.providers.vast.samples import ASK, NOW_S

NO_KEY = {"success": False, "error": "auth_error", "msg": "Invalid user key"}
SLOW = "API requests too frequent"


def answer(status: int, data: Any, **headers: str) -> Answer:
    body = data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def error(code: str, msg: str = "", **more: object) -> dict[str, object]:
    return {"success": False, "error": code, "msg": msg, **more}


def gone(words: str = f"no_such_ask  Instance type by id {ASK} is not available.") -> str:
    return f"error 404/3603: {words}"


def create(status: int, data: Any, **headers: str) -> ProviderError:
    return to_create_error(answer(status, data, **headers), str(ASK), NOW_S)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
def test_a_refused_key_is_one_at_every_status_and_never_says_gone(status: int) -> None:
    refused = answer(status, NO_KEY)

    assert isinstance(to_error(refused, NOW_S), BadCredentials)
    assert isinstance(create(status, NO_KEY), BadCredentials)
    assert not says_no_such_instance(refused)
    assert not is_success(refused)


@pytest.mark.parametrize(
    "data",
    [
        error("auth_error", "This action requires login."),
        error("2fa_expired", "Session expired. Please log in again."),
        error("tfa_locked"),
        {"msg": "Session expired. Please log in again."},
        {"success": False, "msg": "Two Factor Authentication is required"},
    ],
)
def test_every_way_to_say_that_a_login_is_missing_is_about_the_key(data: object) -> None:
    assert isinstance(to_error(answer(404, data), NOW_S), BadCredentials)


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "no_such_instance"), (404, "not_found"), (200, "no_such_instance")],
)
def test_the_providers_own_words_say_that_an_instance_is_gone(status: int, code: str) -> None:
    assert says_no_such_instance(answer(status, error(code)))


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (404, "<html>404</html>"),
        (404, {}),
        (404, error("something")),
        (410, error("deprecated_endpoint")),
        (500, error("not_found")),
    ],
)
def test_nothing_else_says_that_an_instance_is_gone(status: int, data: object) -> None:
    assert not says_no_such_instance(answer(status, data))


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, error("invalid_args", gone(), ask_id=ASK)),
        (400, error("invalid_args", gone())),
        (404, error("invalid_args", gone(f"no_such_ask Instance type by id {ASK} is not."))),
        (410, error("no_such_ask", f"no_such_ask Instance type {ASK} is no longer available.")),
        (409, error("no_such_ask")),
        (200, error("invalid_args", gone())),
        (200, {"success": False, "msg": gone()}),
    ],
)
def test_a_gone_offer_is_no_capacity_at_every_status(status: int, data: object) -> None:
    assert isinstance(create(status, data), NoCapacity)


def test_no_such_ask_about_another_offer_proves_nothing() -> None:
    other = error("invalid_args", gone("no_such_ask Instance type by id 9 is not."), ask_id=9)
    assert isinstance(create(400, other), OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 400, 410, 429, 500])
def test_an_error_that_names_a_contract_rented_anyway(status: int) -> None:
    caught = create(status, error("invalid_price", "bid too low", new_contract=55))

    assert isinstance(caught, RentedAnyway)
    assert caught.machine_id == "55"


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (500, error("server_error", "Something went wrong")),
        (400, error("server_error", "Something went wrong")),
        (200, {}),
        (200, {"success": True}),
        (200, {"success": True, "new_contract": None}),
        (200, {"success": True, "new_contract": "12"}),
        (200, "<html>hello</html>"),
        (200, error("weather")),
        (400, "<html>bad gateway</html>"),
        (400, {"detail": "?"}),
        (408, error("timeout")),
        (502, "<html>502</html>"),
        (302, ""),
    ],
)
def test_trouble_that_may_have_rented_is_unknown(status: int, data: object) -> None:
    assert isinstance(create(status, data), OutcomeUnknown)


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (400, error("insufficient_credit"), InsufficientFunds),
        (400, {"success": False, "msg": "Insufficient credits"}, InsufficientFunds),
        (400, error("missing_billing"), InsufficientFunds),
        *((one, error("spend_rate_limit"), QuotaExceeded) for one in (400, 401, 402, 403, 429)),
        (400, error("invalid_args", "error 400/3467: Invalid args"), InvalidRequest),
        (400, error("invalid_price"), InvalidRequest),
        (400, error("no_ssh_key_for_vm"), InvalidRequest),
        (403, error("invalid_args", "error 403/3586: Offer 7 is not your own."), OfferRefused),
        (403, error("forbidden", "no right"), BadCredentials),
        (429, {"detail": f"{SLOW} endpoint threshold=4.5"}, RateLimited),
    ],
)
def test_a_refusal_of_a_create_rents_nothing(
    status: int, data: object, kind: type[ProviderError]
) -> None:
    assert type(create(status, data)) is kind


@pytest.mark.parametrize(
    "body",
    [
        SLOW,
        f"{SLOW}: endpoint threshold=4.5",
        {"detail": f"{SLOW} endpoint threshold=4.5"},
        error("rate_limit_exceeded", f"{SLOW} endpoint threshold=3.0"),
    ],
)
def test_every_shape_of_too_many_calls_is_known(body: object) -> None:
    limited = to_error(answer(429, body), NOW_S)

    assert isinstance(limited, RateLimited)
    assert 2 <= limited.retry_after_s <= 4.5


def test_too_many_calls_are_known_without_their_status() -> None:
    assert isinstance(to_error(answer(200, error("rate_limit_exceeded")), NOW_S), RateLimited)


def waits(status: int, data: object, **headers: str) -> float:
    limited = to_error(answer(status, data, **headers), NOW_S)
    assert isinstance(limited, RateLimited)
    return limited.retry_after_s


def test_a_wait_is_taken_from_header_or_body_within_bounds() -> None:
    assert waits(429, SLOW, retry_after="7") == 7
    assert waits(429, {"retry_after": 9}) == 9
    assert waits(429, SLOW) == 2
    assert waits(429, SLOW, retry_after="4000") == 60
    assert waits(429, SLOW, retry_after="soon") == 2


def test_a_create_waits_out_its_penalty() -> None:
    limited = create(429, {"detail": f"{SLOW} endpoint threshold=4.5"})

    assert isinstance(limited, RateLimited)
    assert limited.retry_after_s == 12


def test_the_days_quota_of_searches_is_not_asked_again_before_it_ends() -> None:
    body = {"error": "search_quota_exceeded"}

    assert waits(429, body, x_ratelimit_reset=str(int(NOW_S) + 7200)) == pytest.approx(7200, abs=1)
    assert waits(429, body) == 86_400


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (410, error("deprecated_endpoint"), ApiGone),
        (200, error("deprecated_endpoint"), ApiGone),
        (400, error("invalid_request", "Invalid json body"), InvalidRequest),
        (403, error("forbidden"), BadCredentials),
        (404, "<html>404</html>", ProviderDown),
        (500, error("server_error"), ProviderDown),
        (200, "<html>hello</html>", ProviderDown),
        (200, error("weather"), ProviderDown),
        (302, "", ProviderDown),
    ],
)
def test_any_other_answer_of_a_read_means(
    status: int, data: object, kind: type[ProviderError]
) -> None:
    assert type(to_error(answer(status, data), NOW_S)) is kind


def test_what_the_provider_says_is_one_short_printable_line() -> None:
    shown = to_error(answer(400, error("bad", "a\n\x1b[31m" + "b" * 1000)), NOW_S).problem

    assert shown.isprintable()
    assert len(shown) < 400
