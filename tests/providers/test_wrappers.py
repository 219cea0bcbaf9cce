from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Event
from typing import TypeVar

import pytest

from orchestrator.budget.price import Price
from orchestrator.clock import FakeClock
from orchestrator.errors import (
    BadCredentials,
    MachineNotFound,
    NoCapacity,
    NotSent,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    BootLog,
    BootTrouble,
    Capabilities,
    Charge,
    Charges,
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
    Provider,
)
from orchestrator.providers.wrappers import Paced, RetryReads, stacked
from orchestrator.spec.resources import Need

T = TypeVar("T")
OFFER = Offer("o", "cloud", "L4", 1, 24, Price(Decimal("0.4")))
MACHINE = Machine("m1", "l", MachineStatus.RUNNING, "L4", 1, Decimal("0.4"), 0.0)
PLAIN = Capabilities(guard=GuardWay.NONE)
REQUEST = MachineRequest("l", OFFER, "image", 20, "ssh-ed25519 AAAA", "sleep infinity")


@dataclass
class Cloud(Provider):
    """Raises the listed troubles first, then answers."""

    troubles: list[ProviderError] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    capabilities: Capabilities = PLAIN
    name: str = "cloud"

    def list_offers(self, need: Need) -> list[Offer]:
        return self._answer("list_offers", [OFFER])

    def create_machine(self, request: MachineRequest) -> Machine:
        return self._answer("create_machine", MACHINE)

    def get_machine(self, machine_id: str) -> Machine:
        return self._answer("get_machine", MACHINE)

    def list_machines(self) -> list[Machine]:
        return self._answer("list_machines", [MACHINE])

    def delete_machine(self, machine_id: str) -> None:
        self._answer("delete_machine", None)

    def _answer(self, call: str, answer: T) -> T:
        self.calls.append(call)
        if self.troubles:
            raise self.troubles.pop(0)
        return answer


class FullCloud(Cloud, Account, BootLog, BootTrouble, Charges):
    def identity(self) -> str:
        return self._answer("identity", "user:u")

    def balance_usd(self) -> Decimal | None:
        return self._answer("balance_usd", Decimal(7))

    def boot_log(self, machine_id: str, enough: Callable[[str], bool] | None = None) -> str:
        return self._answer("boot_log", f"log of {machine_id}")

    def boot_trouble(self, machine_id: str) -> str:
        return self._answer("boot_trouble", f"{machine_id} has no image")

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        return self._answer("charges", [Charge("m1", since_s, until_s, Decimal(1))])


READS: dict[str, Callable[[Provider], object]] = {
    "list_offers": lambda cloud: cloud.list_offers(Need()),
    "get_machine": lambda cloud: cloud.get_machine("m1"),
    "list_machines": lambda cloud: cloud.list_machines(),
    "identity": lambda cloud: cloud.identity() if isinstance(cloud, Account) else "none",
    "balance_usd": lambda cloud: cloud.balance_usd() if isinstance(cloud, Account) else "none",
    "boot_log": lambda cloud: cloud.boot_log("m1") if isinstance(cloud, BootLog) else "none",
    "boot_trouble": lambda cloud: (
        cloud.boot_trouble("m1") if isinstance(cloud, BootTrouble) else "none"
    ),
    "charges": lambda cloud: cloud.charges(1, 2) if isinstance(cloud, Charges) else "none",
}
WRITES: dict[str, Callable[[Provider], object]] = {
    "create_machine": lambda cloud: cloud.create_machine(REQUEST),
    "delete_machine": lambda cloud: cloud.delete_machine("m1"),
}


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_every_call_goes_through_to_the_provider_and_back(call: str) -> None:
    cloud = FullCloud()
    act = {**READS, **WRITES}[call]

    assert act(stacked(cloud, FakeClock())) == act(FullCloud())
    assert cloud.calls == [call]


def test_a_wrapper_offers_what_its_provider_offers_and_no_more() -> None:
    full, bare = stacked(FullCloud(), FakeClock()), stacked(Cloud(), FakeClock())

    for protocol in (Account, BootLog, BootTrouble, Charges):
        assert isinstance(full, protocol)
        assert not isinstance(bare, protocol)
    assert (bare.name, bare.capabilities) == ("cloud", Cloud().capabilities)


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("trouble", [ProviderDown("502"), RateLimited("slow", retry_after_s=2)])
def test_a_read_that_meets_passing_trouble_is_repeated(call: str, trouble: ProviderError) -> None:
    cloud, clock = FullCloud([trouble]), FakeClock()

    READS[call](RetryReads(cloud, clock))

    assert cloud.calls == [call, call]
    waited_s = clock.now_s() - FakeClock().now_s()
    assert waited_s == (2 if isinstance(trouble, RateLimited) else 0.5)


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    "trouble", [ProviderDown("x"), RateLimited("slow"), OutcomeUnknown("lost"), NoCapacity("full")]
)
def test_a_create_or_a_delete_goes_out_once(call: str, trouble: ProviderError) -> None:
    cloud = FullCloud([trouble])

    with pytest.raises(type(trouble)):
        WRITES[call](stacked(cloud, FakeClock()))
    assert cloud.calls == [call]


@pytest.mark.parametrize("trouble", [BadCredentials("no"), MachineNotFound("gone")])
def test_an_answer_that_will_not_change_is_not_asked_for_again(trouble: ProviderError) -> None:
    cloud = FullCloud([trouble])

    with pytest.raises(type(trouble)):
        RetryReads(cloud, FakeClock()).get_machine("m1")
    assert cloud.calls == ["get_machine"]


def test_lasting_trouble_is_told_after_three_tries() -> None:
    cloud = FullCloud([ProviderDown(str(n)) for n in range(9)])

    with pytest.raises(ProviderDown, match="2"):
        RetryReads(cloud, FakeClock()).list_machines()
    assert len(cloud.calls) == 3


def test_a_long_rest_is_the_callers_to_wait_for() -> None:
    cloud, clock = FullCloud([RateLimited("slow", retry_after_s=60)]), FakeClock()

    with pytest.raises(RateLimited):
        RetryReads(cloud, clock).list_machines()
    assert clock.now_s() == FakeClock().now_s()


def paced(clock: FakeClock, **limits: float) -> Paced:
    capabilities = Capabilities(guard=GuardWay.NONE, **limits)  # type: ignore[arg-type]
    return Paced(Cloud(capabilities=capabilities), clock)


def test_a_minutes_calls_may_go_at_once_and_then_at_their_rate() -> None:
    clock = FakeClock()
    provider = paced(clock, calls_per_minute=30)
    start_s = clock.now_s()

    for _ in range(30):
        provider.list_machines()
    assert clock.now_s() == start_s

    for _ in range(5):
        provider.list_machines()
    assert clock.now_s() == pytest.approx(start_s + 10, abs=0.01)


def test_calls_that_were_not_made_are_not_saved_up_beyond_a_minute() -> None:
    clock = FakeClock()
    provider = paced(clock, calls_per_minute=30)
    clock.advance(3600)
    start_s = clock.now_s()

    for _ in range(31):
        provider.list_machines()

    assert clock.now_s() == pytest.approx(start_s + 2, abs=0.01)


def test_creates_keep_their_distance_and_reads_do_not() -> None:
    clock = FakeClock()
    provider = paced(clock, min_create_interval_s=12)
    start_s = clock.now_s()

    provider.create_machine(REQUEST)
    provider.list_machines()
    assert clock.now_s() == start_s
    provider.create_machine(REQUEST)
    provider.create_machine(REQUEST)

    assert clock.now_s() == start_s + 24


def test_a_call_with_an_interval_of_its_own_keeps_it_and_hinders_no_other() -> None:
    clock = FakeClock()
    capabilities = replace(PLAIN, intervals_s={"list_machines": 3.0})
    provider = Paced(Cloud(capabilities=capabilities), clock)
    began_s = clock.awake_s()

    provider.list_machines()
    provider.get_machine("m1")
    assert clock.awake_s() == began_s
    provider.list_machines()
    assert clock.awake_s() == began_s + 3
    clock.advance(10)
    provider.list_machines()
    assert clock.awake_s() == began_s + 13


def test_without_limits_nothing_waits() -> None:
    clock = FakeClock()
    provider = paced(clock)

    for _ in range(1000):
        provider.list_machines()

    assert clock.now_s() == FakeClock().now_s()


def test_one_budget_is_shared_by_all_threads() -> None:
    clock = FakeClock()
    provider = paced(clock, calls_per_minute=60)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: provider.list_machines(), range(60)))
    assert clock.now_s() == FakeClock().now_s()
    provider.list_machines()

    assert clock.now_s() > FakeClock().now_s()


class Drowsy(FakeClock):
    """The computer is suspended for a night whenever somebody waits."""

    def wait(self, event: Event, seconds: float) -> bool:
        self.advance(8 * 3600.0, asleep=True)
        return super().wait(event, seconds)


def test_a_create_that_slept_on_its_way_is_not_sent_hours_later() -> None:
    cloud = Cloud(capabilities=replace(PLAIN, min_create_interval_s=5.0))
    pacing = Paced(cloud, Drowsy())
    pacing.create_machine(REQUEST)

    with pytest.raises(NotSent):
        pacing.create_machine(REQUEST)

    assert cloud.calls == ["create_machine"]
