"""What the benches of all clouds share: simcloud over real HTTP, and a judge of every exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from orchestrator.providers.base import Provider
from orchestrator.spec.resources import Need
from tests.simcloud.described import Compared


class Client(Provider, Protocol):
    """A provider that keeps connections."""

    def close(self) -> None:
        """Close them."""


class CloudBench(ABC):
    """Machines without processes, a clock that moves when told, and the published description.

    Whatever a test asks of the client, each request and each answer is held to that description;
    what is not listed in `differences.py` fails the test that met it, at its end.
    """

    simulated: ClassVar[str]  # which API, as simcloud names it
    switches: ClassVar[Mapping[str, object]] = {}  # of its API, before anybody calls it
    need: Need
    faults: frozenset[str]
    asks: Mapping[str, str]

    def __init__(self, state: Path) -> None:
        self._state = state
        self._clock = FakeClock()
        self._cloud = SimCloud(
            state=state,
            machines="memory",
            clock=self._clock,
            providers=(self.simulated,),
        )
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        self._cloud.__enter__()
        self._compared = Compared(self._cloud)
        self.switch(**self.switches)
        self.secret = self._env("API_KEY")
        self.provider: Provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._cloud.close()
        assert not self._compared.unlisted, "\n".join(self._compared.unlisted)

    @abstractmethod
    def _client(self, key: SecretStr, env: Mapping[str, str]) -> Client:
        """The provider's client as these variables lead it to the simulator."""

    def with_key(self, which: str) -> Provider:
        if which == "wrong":
            key = "WRONG"
        else:
            key = self.secret if which == "same" else self._env("OTHER_KEY", "SIMCLOUD_")
        self._clients.append(self._client(SecretStr(key), self._cloud.env))
        return self._clients[-1]

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self.switch(page_size=1)
        else:
            self._cloud.fault(fault, **options)  # type: ignore[arg-type]  # `operation` is text

    def switch(self, **switches: object) -> None:
        """Set switches of the simulated API."""
        self._cloud.switch(**switches)

    def rented(self) -> list[str]:
        rows = self._cloud.machines()
        return sorted(str(row["label"]) for row in rows if row["ended_at"] is None)

    def wait(self, seconds: float) -> None:
        self._cloud.advance(seconds)

    def _env(self, name: str, before: str = "") -> str:
        return self._cloud.env[f"{before}{self.simulated.upper()}_{name}"]
