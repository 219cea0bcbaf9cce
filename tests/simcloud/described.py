"""Every exchange with a simulated cloud, held to the published description and the one list."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

import httpx
from jsonschema import ValidationError

from infra.simcloud.cloud import SimCloud
from infra.simcloud.web import Reply, Request
from tests.providers.differences import answered, faults, sent_otherwise
from tests.providers.lambda_cloud.openapi import ORACLE as LAMBDA
from tests.providers.oracle import Oracle
from tests.providers.paperspace.openapi import ORACLE as PAPERSPACE
from tests.providers.runpod.openapi import ORACLE as RUNPOD
from tests.providers.vast.openapi import ORACLE as VAST

_ORACLES = {one.provider: one for one in (RUNPOD, VAST, LAMBDA, PAPERSPACE)}


class Compared:
    """Sees each call of a simulated cloud, whoever makes it, and keeps what differs unlisted.

    A raise here would be a lost answer to the client: who watches looks at `unlisted` at the end.
    """

    def __init__(self, cloud: SimCloud) -> None:
        """Watches from now on."""
        self.unlisted: list[str] = []
        self.exchanges = 0
        self._script = cloud.world.faults
        cloud.watch = self._see

    def _see(self, provider: str, request: Request, reply: Reply) -> None:
        """One call, and its answer where no fault made it that is listed."""
        self.exchanges += 1
        happened = self._script.happened()
        oracle, call = _ORACLES[provider], (request.method, request.path)
        found = oracle.of_request(*call, request.query, request.body)
        self._keep(found, sent_otherwise(provider))
        expected = {one.name for one in faults(provider)}
        if reply.cut or reply.events is not None or expected & happened:
            return
        kind = reply.headers.get("Content-Type", "")
        found = oracle.of_answer(*call, reply.status, kind, reply.body)
        self._keep(found, answered(provider))

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
