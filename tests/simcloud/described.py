"""Every exchange with a simulated cloud, held to the published description and the one list."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

import httpx
from jsonschema import ValidationError

from infra.simcloud.faults import FaultScript
from infra.simcloud.web import Reply, Request
from tests.providers.differences import answered, faults, sent_otherwise
from tests.providers.oracle import Oracle


class Compared:
    """Sees each call of a simulated cloud, whoever makes it, and keeps what differs unlisted.

    A raise here would be a lost answer to the client: who watches looks at `unlisted` at the end.
    """

    def __init__(self, oracle: Oracle, script: FaultScript) -> None:
        self.unlisted: list[str] = []
        self.exchanges = 0
        self._oracle, self._script = oracle, script
        self._happened = 0
        self._sent, self._answered = sent_otherwise(oracle.provider), answered(oracle.provider)
        self._faults = {one.name for one in faults(oracle.provider)}

    def __call__(self, provider: str, request: Request, reply: Reply) -> None:
        """One call, and its answer. Those of other providers, and what a fault made, are let be."""
        if provider != self._oracle.provider:
            return
        self.exchanges += 1
        happened = self._script.happened[self._happened :]
        self._happened += len(happened)
        call = request.method, request.path
        self._keep(self._oracle.of_request(*call, request.query, request.body), self._sent)
        if reply.cut or reply.events is not None or self._faults & set(happened):
            return
        kind = reply.headers.get("Content-Type", "")
        self._keep(self._oracle.of_answer(*call, reply.status, kind, reply.body), self._answered)

    def _keep(self, found: Iterator[tuple[str, ValidationError]], listed: Container[str]) -> None:
        for place, error in found:
            if place not in listed:
                self.unlisted.append(f"{place}: {error.message[:300]}")


def checks_answers(
    oracle: Oracle, differences: Container[str] = ()
) -> Callable[[httpx.Response], None]:
    """A client's hook: compares a reply with its route's schema, where one is described.

    Args:
        differences: known ones, "path field/field".
    """

    def check(response: httpx.Response) -> None:
        for place, error in deviations(oracle, response):
            if place not in differences:
                raise error

    return check


def deviations(oracle: Oracle, response: httpx.Response) -> Iterator[tuple[str, ValidationError]]:
    """Where a reply is not as described, as the oracle tells it."""
    kind = response.headers.get("content-type", "")
    if kind.partition(";")[0].endswith("json"):  # never read a stream to its end
        response.read()
        request = response.request
        call = request.method, request.url.path, response.status_code
        yield from oracle.of_answer(*call, kind, response.content)
