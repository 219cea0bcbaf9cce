from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event

import pytest
from pydantic import SecretStr

from orchestrator import __version__
from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    ProviderDown,
    ProviderError,
    RateLimited,
    UsageError,
)
from orchestrator.providers.fields import to_known_dollars, to_number
from orchestrator.providers.http import Answer, Http, retry_after_s, says_not_found, to_error
from tests.providers.loopback_api import LoopbackApi, Reply, Seen, as_json, page, refusal

KEY = "rpa_VERYSECRETKEY0123456789"
Serve = Callable[[Callable[[Seen], Reply]], LoopbackApi]


def client(url: str) -> Http:
    return Http(url, SecretStr(KEY))


def test_a_request_carries_key_agent_query_and_body(serve: Serve) -> None:
    api = serve(lambda _: as_json({"price": 0.69}))

    answer = client(api.url + "/v2/").send("POST", "/pods", query={"a": "b c"}, body={"x": 1})

    (request,) = api.seen
    assert (request.method, request.path, request.query) == ("POST", "/v2/pods", {"a": "b c"})
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"] == f"gpulease/{__version__}"
    assert request.data() == {"x": 1}
    assert answer.data() == {"price": Decimal("0.69")}


def test_an_error_status_is_an_answer_and_not_an_exception(serve: Serve) -> None:
    api = serve(lambda _: refusal(404, "pod not found"))

    assert client(api.url).send("GET", "/pods/x").status == 404


def test_a_closed_connection_is_provider_down_without_the_key(serve: Serve) -> None:
    api = serve(lambda _: Reply(hang_up=True))

    with pytest.raises(ProviderDown) as caught:
        client(api.url).send("GET", "/pods")
    assert "127.0.0.1" in caught.value.problem
    assert KEY not in repr(caught.value) + repr(caught.value.__cause__)


def test_nobody_listening_is_provider_down() -> None:
    with pytest.raises(ProviderDown):
        client("http://127.0.0.1:9").send("GET", "/")


def test_silence_is_provider_down_after_the_time_limit(serve: Serve) -> None:
    never = Event()
    api = serve(lambda _: Reply(hang_up=never.wait(5)))

    with pytest.raises(ProviderDown, match="ReadTimeout"):
        client(api.url).send("GET", "/", timeout_s=0.1)
    never.set()


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    other = serve(lambda _: as_json({}))
    api = serve(lambda _: Reply(307, headers={"Location": other.url + "/steal"}))

    answer = client(api.url).send("GET", "/pods")

    assert answer.status == 307
    assert other.seen == []


def test_an_endless_body_is_cut_off_by_size(serve: Serve) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 2**20

    api = serve(lambda _: Reply(rest=endless()))

    with pytest.raises(ProviderDown, match="32 MiB"):
        client(api.url).send("GET", "/")


def test_a_packed_body_is_not_unpacked(serve: Serve) -> None:
    api = serve(lambda _: Reply(200, b"\x1f\x8b whatever", {"Content-Encoding": "gzip"}))

    answer = client(api.url).send("GET", "/")

    assert api.seen[0].headers["accept-encoding"] == "identity"
    assert answer.body == b"\x1f\x8b whatever"


def test_a_stream_that_falls_silent_gives_what_it_sent(serve: Serve) -> None:
    quiet = Event()

    def lines() -> Iterator[bytes]:
        yield b"one\n"
        yield b"two\n"
        quiet.wait(5)

    api = serve(lambda _: Reply(rest=lines()))

    answer = client(api.url).tail("/logs", query={"tail": "5"}, quiet_s=0.2, total_s=5)
    quiet.set()

    assert answer.body == b"one\ntwo\n"
    assert api.seen[0].query == {"tail": "5"}


def test_a_stream_is_left_once_it_said_enough_unless_it_is_a_refusal(serve: Serve) -> None:
    def lines() -> Iterator[bytes]:
        for _ in range(20):
            yield b"line\n"
            Event().wait(0.02)

    api = serve(lambda seen: Reply(200 if seen.path == "/logs" else 502, rest=lines()))

    def read(path: str) -> int:
        answer = client(api.url).tail(path, quiet_s=5, total_s=9, enough=lambda body: True)
        return answer.body.count(b"line\n")

    assert 1 <= read("/logs") < 20
    assert read("/refused") == 20


def test_a_stream_that_says_nothing_at_all_is_empty(serve: Serve) -> None:
    quiet = Event()
    api = serve(lambda _: Reply(hang_up=quiet.wait(5)))

    answer = client(api.url).tail("/logs", quiet_s=0.1, total_s=5)
    quiet.set()

    assert (answer.status, answer.body) == (200, b"")


def test_a_stream_that_cannot_be_opened_is_provider_down() -> None:
    with pytest.raises(ProviderDown):
        client("http://127.0.0.1:9").tail("/logs", quiet_s=1, total_s=1)


def test_one_client_serves_many_threads(serve: Serve) -> None:
    api = serve(lambda request: as_json({"path": request.path}))
    http = client(api.url)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: http.send("GET", f"/{n}").data(), range(32)))

    assert answers == [{"path": f"/{n}"} for n in range(32)]
    http.close()


def test_a_closed_client_opens_again(serve: Serve) -> None:
    http = client(serve(lambda _: as_json({})).url)
    http.send("GET", "/")
    http.close()
    http.close()

    assert http.send("GET", "/").status == 200


def test_the_request_id_is_in_the_debug_log_and_the_key_is_not(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(lambda _: as_json({}, x_request_id="req-77"))

    with caplog.at_level(logging.DEBUG):
        client(api.url).send("GET", "/pods")

    assert "request_id=req-77" in caplog.text
    assert KEY not in caplog.text


def test_a_server_that_quotes_the_key_does_not_get_it_into_the_error(serve: Serve) -> None:
    api = serve(lambda request: refusal(401, f"bad {request.headers['authorization']}"))

    error = to_error("runpod", client(api.url).send("GET", "/"))

    assert KEY not in error.problem
    assert KEY not in repr(client(api.url).__dict__)


def test_a_proxy_of_the_environment_is_not_used_on_loopback(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert client(serve(lambda _: as_json({})).url).send("GET", "/").status == 200


@pytest.mark.parametrize(
    "url", ["http://api.runpod.io/v2", "ftp://127.0.0.1/", "api.runpod.io", "http://127.0.0.1.x.io"]
)
def test_a_key_never_travels_in_clear(url: str) -> None:
    with pytest.raises(UsageError, match="in clear"):
        client(url)


def test_importing_the_module_does_not_import_httpx() -> None:
    code = "import sys, orchestrator.providers.runpod; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def answer(reply: Reply) -> Answer:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return Answer(reply.status, headers, reply.body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ProviderDown),
        (400, InvalidRequest),
        (401, BadCredentials),
        (403, BadCredentials),
        (404, ProviderDown),
        (405, InvalidRequest),
        (408, ProviderDown),
        (409, InvalidRequest),
        (410, ApiGone),
        (422, InvalidRequest),
        (429, RateLimited),
        (500, ProviderDown),
        (502, ProviderDown),
        (524, ProviderDown),
    ],
)
@pytest.mark.parametrize("make", [lambda status: refusal(status, "why"), page])
def test_an_answer_is_classified_by_its_status_whatever_the_body(
    status: int, kind: type[ProviderError], make: Callable[[int], Reply]
) -> None:
    error = to_error("runpod", answer(make(status)))

    assert type(error) is kind
    assert f"HTTP {status}" in error.problem


def test_the_apis_own_words_are_shown_as_one_short_printable_line() -> None:
    words = "line one\nline\x1b[31mtwo " + "x" * 1000
    reply = as_json({"title": "t", "detail": words, "errors": ["$: bad", 5]}, 422)

    detail = answer(reply).detail()

    assert detail.startswith("line one line [31mtwo xxx")
    assert len(detail) == 300


def test_a_refused_key_names_the_next_command() -> None:
    assert to_error("runpod", answer(refusal(401, "no"))).hint == "gpulease login runpod"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 5),
        ({"retry-after": "12"}, 12),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 5),
        ({"retry-after": "1", "ratelimit": '"minute";r=0;t=30, "day";r=4;t=900'}, 30),
        ({"retry-after": "999999999"}, 3600),
    ],
)
def test_the_longest_wait_that_a_header_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refusal(404, "pod not found"), True),
        (refusal(404, ""), True),
        (refusal(404, "The requested path was not found."), False),
        (page(404), False),
        (Reply(404), False),
        (Reply(404, b"[]"), False),
        (refusal(410, "pod not found"), False),
        (refusal(200, "pod not found"), False),
    ],
)
def test_only_the_api_itself_says_that_something_is_not_there(reply: Reply, expected: bool) -> None:
    assert says_not_found(answer(reply)) is expected


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1', b"[" * 100_000])
def test_a_body_that_is_not_json_is_provider_down(body: bytes) -> None:
    with pytest.raises(ProviderDown, match="not JSON"):
        Answer(200, {}, body).data()


def test_a_figure_that_is_no_number_hides_no_other() -> None:
    body = b'[{"end": Infinity, "id": 1}, {"usd": NaN, "id": 2}]'
    rows = Answer(200, {}, body).data()

    assert isinstance(rows, list) and [row["id"] for row in rows] == [1, 2]
    assert to_number(rows[0]["end"]) is None
    assert to_known_dollars(rows[1]["usd"]) is None and rows[1]["usd"] is not None


def test_a_number_with_a_point_is_read_exactly() -> None:
    assert json.dumps(str(Answer(200, {}, b"[0.1]").data())) == "\"[Decimal('0.1')]\""
