"""A thin HTTP client for providers' APIs, and what an answer means whoever sent it.

It never retries, never follows a redirect, and trusts nothing that it reads. One `Http` may be
used by several threads.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InvalidRequest,
    ProviderDown,
    ProviderError,
    RateLimited,
    UsageError,
)
from orchestrator.providers.base import Secret

if TYPE_CHECKING:
    import ssl

    import httpx

READ_TIMEOUT_S = 20.0
CREATE_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 10.0
_LIMIT_BYTES = 32 * 2**20
_DETAIL_CHARACTERS = 300
_LONGEST_WAIT_S = 3600.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def data(self) -> object:
        """The JSON in the body, numbers with a point as Decimal.

        NaN and Infinity, which are no JSON and which some servers write, are read too: one odd
        figure of one machine hides no other. They are floats, which is nothing that anybody asks
        for: neither an amount, nor absent.

        Raises: ProviderDown when it is not JSON, whatever the status says.
        """
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            problem = f"an answer (HTTP {self.status}) is not JSON"
            raise ProviderDown(problem) from error

    def problem(self) -> dict[str, object] | None:
        """The body of a refusal by the API itself; None for a web page or anything else."""
        try:
            data = self.data()
        except ProviderDown:
            return None
        return data if isinstance(data, dict) else None

    def detail(self) -> str:
        """Why, in the API's own words: one short printable line, or ''."""
        problem = self.problem() or {}
        errors = problem.get("errors")
        words = [problem.get("detail") or problem.get("title") or problem.get("message")]
        words += errors if isinstance(errors, list) else []
        return one_line("; ".join(word for word in words if isinstance(word, str)))


class Http:
    """Requests to one base URL under one key."""

    def __init__(self, base_url: str, key: Secret, *, clock: Clock | None = None) -> None:
        """Remember where and as whom; nothing is opened yet.

        Raises: UsageError when the key would travel in clear.
        """
        parts = urlsplit(base_url)
        self._on_loopback = parts.hostname in _LOOPBACK
        if parts.scheme != "https" and not (parts.scheme == "http" and self._on_loopback):
            raise UsageError(
                f"the base URL {parts.scheme}://{parts.hostname} would send a key in clear",
                hint="use https, or http on this computer",
            )
        self._base_url = base_url.rstrip("/")
        self._host = parts.netloc.rpartition("@")[2]
        self._key = key
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._opened: httpx.Client | None = None

    @property
    def is_on_loopback(self) -> bool:
        """Whether the API is on this computer."""
        return self._on_loopback

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Answer:
        """One request, one answer, whatever its status.

        Raises: ProviderDown when there was no whole answer; the request may have been carried out.
        """
        with self._stream(method, path, query, body, timeout_s) as (answer, chunks):
            received = b"".join(chunks)
        if answer.status >= 400:
            # A server that quotes the key must not get it into an error's text.
            received = received.replace(self._key.get_secret_value().encode(), b"(the key)")
        return Answer(answer.status, answer.headers, received)

    def tail(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        quiet_s: float,
        total_s: float,
        enough: Callable[[bytes], bool] = lambda body: False,
    ) -> Answer:
        """What an endless stream sends until it is silent for `quiet_s`, or `total_s` are over.

        A good answer ends sooner, once `enough` holds of its body so far. Silence before the
        first byte is an empty 200: such streams hold their headers back.
        """
        import httpx

        received = Answer(200, {}, b"")
        until_s = self._clock.awake_s() + total_s
        try:
            with self._stream("GET", path, query, None, quiet_s) as (answer, chunks):
                received = answer
                for chunk in chunks:
                    received = Answer(answer.status, answer.headers, received.body + chunk)
                    over = self._clock.awake_s() > until_s
                    if over or (answer.status == 200 and enough(received.body)):
                        break
        except ProviderDown as error:
            if not isinstance(error.__cause__, httpx.ReadTimeout):
                raise
        return received

    def close(self) -> None:
        """Close idle connections; safe to repeat."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        timeout_s: float,
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        import httpx

        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            with self._client().stream(
                method,
                self._base_url + path,
                params=dict(query or {}),
                content=content,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s)),
            ) as response:
                _log.debug(
                    "%s %s answered status=%s request_id=%s",
                    method,
                    path,
                    response.status_code,
                    one_line(response.headers.get("x-request-id", "")),
                )
                headers_in = {name.lower(): value for name, value in response.headers.items()}
                answer = Answer(response.status_code, headers_in, b"")
                yield answer, self._chunks(response, max(timeout_s, READ_TIMEOUT_S))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderDown(
                f"no answer from {self._host} ({type(error).__name__})",
                hint="check this computer's connection; the provider may be down",
            ) from error

    def _chunks(self, response: httpx.Response, longest_s: float) -> Iterator[bytes]:
        """The body as it came, cut off by size and by time."""
        until_s = self._clock.awake_s() + longest_s
        size_bytes = 0
        for chunk in response.iter_raw():
            size_bytes += len(chunk)
            if size_bytes > _LIMIT_BYTES:
                raise ProviderDown(f"{self._host} answers more than {_LIMIT_BYTES >> 20} MiB")
            if self._clock.awake_s() > until_s:
                raise ProviderDown(f"{self._host} answers too slowly")
            yield chunk

    def _client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._opened is None:
                self._opened = httpx.Client(
                    follow_redirects=False,
                    # A proxy of the environment has no business on this computer's loopback.
                    trust_env=not self._on_loopback,
                    verify=_trusted(),
                    headers={
                        # RunPod's edge blocks urllib's default agent (seen by three, 2026).
                        "User-Agent": f"gpulease/{__version__}",
                        "Accept": "application/json, text/event-stream",
                        # Bodies are read raw, so that no small answer unpacks into a huge one.
                        "Accept-Encoding": "identity",
                    },
                )
            return self._opened


def fetch_public(url: str, from_loopback: bool) -> str | None:
    """Text of a file that an API points to, asked for without a key; None while it is not there.

    Args:
        from_loopback: whether the API itself is on this computer: only then may the file be.

    Raises: ProviderDown for an address that is none, or an answer that is none.
    """
    import httpx

    parts = urlsplit(url)
    is_local = parts.hostname in _LOOPBACK
    if (parts.scheme, is_local) != ("https", False) and not (from_loopback and is_local):
        raise ProviderDown("the API points to a file at an address that is not to be trusted")
    chunks: list[bytes] = []
    try:
        with httpx.stream(
            "GET", url, timeout=READ_TIMEOUT_S, verify=_trusted(), trust_env=not is_local
        ) as answer:
            if answer.status_code in (403, 404):
                return None
            if answer.status_code != 200:
                raise ProviderDown(f"a file of the API answered HTTP {answer.status_code}")
            for chunk in answer.iter_bytes():
                chunks.append(chunk)
                if sum(map(len, chunks)) > _LIMIT_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderDown(f"a file of the API did not come ({type(error).__name__})") from error
    return b"".join(chunks).decode("utf-8", "replace")


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that every client trusts; reading them takes 50 ms."""
    import httpx

    return httpx.create_ssl_context()


def to_error(provider: str, answer: Answer) -> ProviderError:
    """What an answer that is no success means for a call that rents nothing, by status first.

    A 404 is ProviderDown here: only the caller knows whether the path named a machine.
    """
    status = answer.status
    problem = f"{provider} answered HTTP {status}"
    problem += f": {answer.detail()}" if answer.detail() else ""
    if status in (401, 403):
        missing = "the key was refused" if status == 401 else "the key lacks the right"
        hint = f"gpulease login {provider}"
        return BadCredentials(f"{missing}: {problem}", hint=hint)
    if status == 410:
        return ApiGone(problem, hint="a newer gpulease may speak the API that replaced it")
    if status == 429:
        return RateLimited(problem, retry_after_s=retry_after_s(answer.headers))
    if 400 <= status < 500 and status not in (404, 408):
        return InvalidRequest(problem)
    return ProviderDown(problem)


def says_not_found(answer: Answer) -> bool:
    """Whether the API itself says that what the path names is not there.

    A web page with status 404 comes from something in between, and an unknown path is about the
    path: neither says anything about a machine.
    """
    problem = answer.problem()
    if answer.status != 404 or problem is None:
        return False
    return "requested path" not in str(problem.get("detail", "")).lower()


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds to wait after a 429: the longest that any header asks for, 5 when none does.

    >>> retry_after_s({"retry-after": "3", "ratelimit": '"minute";r=0;t=12, "day";r=9;t=900'})
    12.0
    """
    waits = [
        float(wait) for wait in re.findall(r"^\s*(\d{1,9})\s*$", headers.get("retry-after", ""))
    ]
    for left, reset in re.findall(r"r=(\d{1,9})\s*;\s*t=(\d{1,9})", headers.get("ratelimit", "")):
        if int(left) == 0:
            waits.append(float(reset))
    return min(_LONGEST_WAIT_S, max(waits, default=5.0))


def one_line(text: str) -> str:
    """A stranger's words as one short printable line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:_DETAIL_CHARACTERS]
