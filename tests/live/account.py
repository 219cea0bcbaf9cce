"""A real account, and one cheap machine on it that is given back whatever happens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.clock import SystemClock
from orchestrator.errors import MachineNotFound, ProviderError
from orchestrator.lifecycle.host_keys import new_host_key
from orchestrator.lifecycle.plan import DEFAULT_IMAGE
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import GuardWay, Machine, MachineRequest, MachineStatus, Provider
from orchestrator.providers.http import Answer, Http
from orchestrator.remote.keys import KeyPair, make_key_pair
from orchestrator.remote.render import boot_guard
from orchestrator.runs.label import Label
from orchestrator.spec.resources import Need

CAP_USD = Decimal("0.15")  # of one machine; no check rents a dearer quarter of an hour
_LIFE_S = 900
_GONE_S = 600.0


class Account:
    """One provider under the key of the environment."""

    def __init__(
        self, provider: Provider, http: Http, folder: Path, offer: Offer | None = None
    ) -> None:
        """`offer`: what is rented, where the cheapest of the provider's would cost too much."""
        self.provider = provider
        self._offer = offer
        self.clock = _clock()
        self.keys: KeyPair = make_key_pair(folder / "keys")
        self._http, self._folder = http, folder

    def ask(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        """One call of the raw API."""
        return self._http.send(method, path, query=query, body=body)

    @contextmanager
    def rented(self, *, spot: bool = False) -> Iterator[tuple[Machine, MachineRequest]]:
        """The cheapest machine, which ends itself after a quarter of an hour at the latest.

        Args:
            spot: one that is bid for.
        """
        request = self._request(spot)
        machine = self.provider.create_machine(request)
        try:
            yield machine, request
        finally:
            self.give_back(machine)

    def until(self, machine: Machine, done: Callable[[Machine], bool], limit_s: float) -> Machine:
        """The machine once `done` holds of it."""
        give_up_s = self.clock.awake_s() + limit_s
        while True:
            seen = self.provider.get_machine(machine.id)
            if done(seen):
                return seen
            assert self.clock.awake_s() < give_up_s, f"it is {seen.status} after {limit_s:.0f} s"
            time.sleep(2.5)

    def running(self, machine: Machine) -> Machine:
        """The machine once it runs, with an address."""
        limit_s = self.provider.capabilities.boot_deadline_s
        return self.until(
            machine,
            lambda seen: seen.status is MachineStatus.RUNNING and bool(seen.address),
            limit_s,
        )

    def _request(self, spot: bool) -> MachineRequest:
        facts = self.provider.capabilities
        # Who lets whole computers lets some without a GPU, for a fifth of the price.
        need = Need(disk_gib=20, cuda="", allow_cpu=not facts.container_images, spot=spot)
        offer = self._offer or self._cheapest(need)
        life_usd = offer.price.for_seconds(_LIFE_S, increment_s=facts.billing_increment_s)
        worst_usd = life_usd + offer.price.for_traffic(25 * 2**30, 0)
        if worst_usd > CAP_USD:
            pytest.skip(f"the cheapest offer may cost ${worst_usd:.2f}, more than ${CAP_USD}")
        now_s = int(self.clock.now_s())
        label = str(Label("livets", "livechck", 0, now_s, now_s + _LIFE_S))
        guard = ""
        if facts.guard is GuardWay.START_COMMAND:
            guard = boot_guard(label, now_s, now_s + _LIFE_S, _LIFE_S, ways=self.provider.name)
        host_key = ("", "")
        if facts.takes_host_key:
            host_key = new_host_key(self._folder, label)
        return MachineRequest(
            label=label,
            offer=offer,
            image=DEFAULT_IMAGE,
            disk_gib=need.disk_gib,
            public_key=self.keys.public_line,
            start_command=guard,
            host_private_key=host_key[0],
            host_public_key=host_key[1],
            bid_usd_per_hour=offer.bid.usd_per_hour if offer.bid else None,
        )

    def _cheapest(self, need: Need) -> Offer:
        offers = [offer for offer in self.provider.list_offers(need) if offer.spot == need.spot]
        return select(need, offers, lambda one: one.price.usd_per_hour).candidates[0]

    def give_back(self, machine: Machine) -> None:
        """Delete until the provider says that it is gone."""
        give_up_s = self.clock.awake_s() + _GONE_S
        while self.clock.awake_s() < give_up_s:
            try:
                self.provider.get_machine(machine.id)
                self.provider.delete_machine(machine.id)
            except MachineNotFound:
                return
            except ProviderError:
                pass
            time.sleep(5)
        pytest.fail(f"machine {machine.id} may still bill: end it by hand")


def rows(answer: Answer, key: str) -> list[dict[str, Any]]:
    """The list under `key` of a good answer."""
    data = answer.data()
    assert answer.status == 200 and isinstance(data, dict), answer.detail()
    found: list[dict[str, Any]] = data[key]
    return found


def key_or_skip(name: str) -> SecretStr:
    """The key that the environment gives for these checks."""
    if not os.environ.get(name):
        pytest.skip(f"no {name} in the environment")
    return SecretStr(os.environ[name])


def _clock() -> SystemClock:
    offset = os.environ.get("GPULEASE_CLOCK")
    return SystemClock(Path(offset) if offset else None)
