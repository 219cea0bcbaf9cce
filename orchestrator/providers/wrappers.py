"""What every provider gets, as providers around a provider: patience with reads, and a pace.

A wrapper offers exactly the optional protocols (Account, BootLog, …) that the provider
inside it offers.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock
from typing import TypeVar

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import NotSent, ProviderDown, RateLimited
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    BootLog,
    BootTrouble,
    Capabilities,
    Charges,
    Leftovers,
    Machine,
    MachineRequest,
    OwnLogin,
    Provider,
    Witness,
)
from orchestrator.spec.resources import Need

T = TypeVar("T")

_READ_TRIES = 3
_LONGEST_WAIT_S = 15.0
_OVERSLEPT_S = 10.0
_CREATE = "create_machine"
_OPTIONAL: dict[type, tuple[str, ...]] = {
    Account: ("identity", "balance_usd"),
    BootLog: ("boot_log",),
    BootTrouble: ("boot_trouble",),
    Charges: ("charges",),
    Leftovers: ("list_leftovers", "delete_leftover"),
    Witness: ("second_list",),
    OwnLogin: ("open_shell", "login_command"),
}


def stacked(provider: Provider, clock: Clock | None = None) -> Provider:
    """`provider` as the rest of the program uses it: paced, its reads repeated."""
    clock = clock or SystemClock()
    return RetryReads(Paced(provider, clock), clock)


class Wrapper(Provider):
    """Passes every call on; a subclass says what happens around a read and around a write."""

    name: str
    capabilities: Capabilities

    def __init__(self, inner: Provider) -> None:
        self.name = inner.name
        self.capabilities = inner.capabilities
        self._inner = inner
        for protocol, methods in _OPTIONAL.items():
            if isinstance(inner, protocol):
                for method in methods:
                    setattr(self, method, self._reading(method, getattr(inner, method)))

    def list_offers(self, need: Need) -> list[Offer]:
        return self._read("list_offers", lambda: self._inner.list_offers(need))

    def create_machine(self, request: MachineRequest) -> Machine:
        return self._write("create_machine", lambda: self._inner.create_machine(request))

    def get_machine(self, machine_id: str) -> Machine:
        return self._read("get_machine", lambda: self._inner.get_machine(machine_id))

    def list_machines(self) -> list[Machine]:
        return self._read("list_machines", self._inner.list_machines)

    def delete_machine(self, machine_id: str) -> None:
        self._write("delete_machine", lambda: self._inner.delete_machine(machine_id))

    def _read(self, name: str, call: Callable[[], T]) -> T:
        return call()

    def _write(self, name: str, call: Callable[[], T]) -> T:
        return call()

    def _reading(self, name: str, method: Callable[..., T]) -> Callable[..., T]:
        return lambda *arguments: self._read(name, lambda: method(*arguments))


class RetryReads(Wrapper):
    """Repeats a read that met trouble; a create or a delete goes out once.

    A longer rest than a quarter of a minute is the caller's to wait for.
    """

    def __init__(self, inner: Provider, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    def _read(self, name: str, call: Callable[[], T]) -> T:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(_READ_TRIES),
            wait=lambda state: (
                _wait_s(state.outcome.exception(), state.attempt_number) if state.outcome else 0.0
            ),
            sleep=lambda seconds: _sleep(self._clock, seconds),
            reraise=True,
        )
        return retrying(call)


class Paced(Wrapper):
    """Keeps an account's calls within what its provider allows, waiting where it must.

    One object is one budget, for all threads: a minute's calls may go at once, then they go at
    the rate at which they come back. A call with an interval of its own keeps that, too.
    """

    def __init__(self, inner: Provider, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock
        self._lock = Lock()
        self._free_s = clock.awake_s()  # when the budget was, or will be, wholly unspent
        self._next_s: dict[str, float] = {}  # when each call may go again
        self._intervals_s = {
            **self.capabilities.intervals_s,
            _CREATE: self.capabilities.min_create_interval_s,
        }

    def _read(self, name: str, call: Callable[[], T]) -> T:
        _sleep(self._clock, self._book(name))
        return call()

    def _write(self, name: str, call: Callable[[], T]) -> T:
        wait_s = self._book(name)
        asked_s = self._clock.elapsed_s()
        _sleep(self._clock, wait_s)
        if name == _CREATE and self._clock.elapsed_s() - asked_s > wait_s + _OVERSLEPT_S:
            # This computer was asleep meanwhile: whoever wanted the machine may not any more.
            raise NotSent("the computer slept before the create was sent", retry_after_s=1.0)
        return call()

    def _book(self, name: str) -> float:
        """Seconds until this call may go."""
        with self._lock:
            now_s = self._clock.awake_s()
            wait_s = 0.0
            if self.capabilities.calls_per_minute:
                self._free_s = max(self._free_s, now_s) + 60.0 / self.capabilities.calls_per_minute
                wait_s = self._free_s - now_s - 60.0
            wait_s = max(wait_s, self._next_s.get(name, now_s) - now_s, 0.0)
            self._next_s[name] = now_s + wait_s + self._intervals_s.get(name, 0.0)
            return wait_s


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, RateLimited):
        return error.retry_after_s <= _LONGEST_WAIT_S
    return isinstance(error, ProviderDown)


def _wait_s(error: BaseException | None, tries: int) -> float:
    if isinstance(error, RateLimited):
        return error.retry_after_s
    return float(0.5 * 2 ** (tries - 1))


def _sleep(clock: Clock, seconds: float) -> None:
    if seconds > 0:
        clock.wait(Event(), seconds)
