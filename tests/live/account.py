"""A real account, and one cheap machine on it that is given back whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from orchestrator.app import App
from orchestrator.clock import SystemClock
from orchestrator.errors import GpuleaseError, MachineNotFound, NotSent, ProviderError
from orchestrator.lifecycle.host_keys import new_host_key
from orchestrator.lifecycle.plan import DEFAULT_IMAGE
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import (
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
    Provider,
    SshAddress,
)
from orchestrator.providers.http import Answer, Http
from orchestrator.providers.wrappers import stacked
from orchestrator.remote.keys import KeyPair, make_key_pair
from orchestrator.remote.render import boot_guard
from orchestrator.remote.ssh import connect
from orchestrator.runs.label import Label
from orchestrator.settings import load_settings
from orchestrator.spec.resources import Need

CAP_USD = Decimal("0.15")  # of one machine; no check rents a dearer quarter of an hour
_LIFE_S = 900
_GONE_S = 600.0
_TRIES = 4


class Account:
    """One provider under the key of the environment."""

    def __init__(
        self, provider: Provider, http: Http, folder: Path, offer: Offer | None = None
    ) -> None:
        """`offer`: what is rented, where the cheapest of the provider's would cost too much."""
        self.clock = this_clock()
        self.provider = stacked(provider, self.clock)  # at the pace that the account allows
        self._offer = offer
        self.keys: KeyPair = make_key_pair(folder / "keys")
        self._http, self._folder = http, folder

    def ask(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        """One call of the raw API, again where it was one too many."""
        for _ in range(_TRIES):
            answer = self.ask_once(method, path, body, **query)
            if answer.status != 429:
                break
            self.pause(15.0)
        return answer

    def ask_once(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        """One call of the raw API, whatever comes of it."""
        return self._http.send(method, path, query=query, body=body)

    @contextmanager
    def rented(self, *, spot: bool = False) -> Iterator[tuple[Machine, MachineRequest]]:
        """The cheapest machine, which ends itself after a quarter of an hour at the latest.

        Args:
            spot: one that is bid for.
        """
        request = self.request(spot=spot)
        machine = self._create(request)
        try:
            yield machine, request
        finally:
            self.give_back(machine)

    def _create(self, request: MachineRequest) -> Machine:
        """The machine; a create that was late in being sent was not, and may be made again."""
        for _ in range(_TRIES - 1):
            try:
                return self.provider.create_machine(request)
            except NotSent as error:
                self.pause(error.retry_after_s)
        return self.provider.create_machine(request)

    def until(self, machine: Machine, done: Callable[[Machine], bool], limit_s: float) -> Machine:
        """The machine once `done` holds of it."""
        give_up_s = self.clock.awake_s() + limit_s
        while True:
            seen = self.provider.get_machine(machine.id)
            if done(seen):
                return seen
            assert self.clock.awake_s() < give_up_s, f"it is {seen.status} after {limit_s:.0f} s"
            self.pause(2.5)

    def pause(self, seconds: float) -> None:
        """Let so much time go by."""
        self.clock.wait(Event(), seconds)

    def refused(self, request: MachineRequest) -> ProviderError:
        """Why a create is refused that is to rent nothing; what it rents goes back at once."""
        try:
            machine = self.provider.create_machine(request)
        except ProviderError as error:
            return error
        self.give_back(machine)
        pytest.fail(f"{machine.id} was rented, and went back")

    def halted(self, machine: Machine, request: MachineRequest) -> None:
        """Halt a whole computer from inside."""
        assert isinstance(machine.address, SshAddress)
        pinned = " ".join(request.host_public_key.split()[:2])
        give_up_s = self.clock.awake_s() + 300
        while True:
            try:
                shell = connect(machine.address, self.keys.private_path, pinned, "gpulease", 30.0)
                break
            except GpuleaseError:  # sshd may be late, or show its first key
                assert self.clock.awake_s() < give_up_s, "no login under the given key"
                self.pause(5)
        with suppress(GpuleaseError):  # it may be gone before it answers
            shell.run("sudo poweroff", timeout_s=30.0)
        shell.close()

    def running(self, machine: Machine) -> Machine:
        """The machine once it runs, with an address."""
        limit_s = self.provider.capabilities.boot_deadline_s
        return self.until(
            machine,
            lambda seen: seen.status is MachineStatus.RUNNING and bool(seen.address),
            limit_s,
        )

    def request(
        self, offer: Offer | None = None, *, spot: bool = False, life_s: float = _LIFE_S
    ) -> MachineRequest:
        """Of the cheapest offer, unless it is given; one that may cost more is not asked for."""
        facts = self.provider.capabilities
        # Who lets whole computers lets some without a GPU, for a fifth of the price.
        need = Need(disk_gib=20, cuda="", allow_cpu=not facts.container_images, spot=spot)
        offer = offer or self._offer or self._cheapest(need)
        life_usd = offer.price.for_seconds(life_s, increment_s=facts.billing_increment_s)
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
            self.pause(5)
        pytest.fail(f"machine {machine.id} may still bill: end it by hand")


def ends_itself(provider: str) -> None:
    """A drill, as a person makes it, under the same cap: its machine has to be gone by itself."""
    _, plan = App(load_settings()).plan_drill(provider)
    assert plan["offers"], plan["relaxation"]
    cap_usd = Decimal(plan["cap_usd"] or 0)
    if cap_usd > CAP_USD:
        pytest.skip(f"a drill may cost ${cap_usd}, more than ${CAP_USD}")
    drill = [sys.executable, "-m", "orchestrator", "doctor", "--drill", provider, "--yes", "--json"]

    ended = subprocess.run(drill, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]


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


def this_clock() -> SystemClock:
    """The time; a simulated cloud's, where the environment leads to one."""
    offset = os.environ.get("GPULEASE_CLOCK")
    return SystemClock(Path(offset) if offset else None)
