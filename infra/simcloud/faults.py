"""The fault script: what goes wrong, in which operation, how often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

OPERATIONS = (
    "create",
    "get",
    "list",
    "delete",
    "action",
    "catalog",
    "logs",
    "billing",
    "account",
    "keys",
    "graphql",
    "machine",
    "start",
)

# Faults of any call. `…_after` and the lost replies do what was asked first; the others do nothing.
ANY_CALL = {
    "5xx": "answers 503 (`status`)",
    "5xx_after": "does it, answers 500",
    "reply_lost": "does it, cuts the connection",
    "timeout_after": "does it, answers nothing for `seconds` (120)",
    "unreadable": "does it, answers with half a body",
    "html_502": "a gateway's page",
    "rate_limit": "429, Retry-After `seconds` (1)",
    "wrong_key": "401",
    "forbidden": "403",
    "conflict": "409",
    "gone": "410",
    "upstream": "503 of somebody behind the provider",
    "rate_limit_after": "does it, answers 429",
    "html_after": "does it, answers with a gateway's page",
}
# Faults that belong to one operation, whatever operation the caller names.
BELONGS_TO = {
    "no_capacity": "create",
    "rule": "create",
    "insufficient_funds": "create",
    "too_large": "create",  # 413
    "unprocessable": "create",  # 422
    "quota": "create",
    "inactive": "create",  # the account may rent nothing
    "no_ids": "create",  # does it, and names no machine
    "list_lag_s": "list",  # standing: new machines absent and ended ones shown for `seconds`
    "list_page_fail": "list",  # any page but the first
    "delete_lies": "delete",  # 204, and the machine goes on
    "delete_5xx_done": "delete",
    "terminate_lies": "action",  # the same of the action that terminates
    "graphql_lies": "graphql",  # the same of a mutation
    "boot_stuck": "machine",
    "starting_stuck": "machine",
    "never_starts": "machine",  # runs by its status; neither address nor runtime, and no guard
    "image_error": "machine",  # never comes up; its host's log says `text`, again and again
    "ssh_late": "machine",  # refuses connections for `seconds` after it runs
    "ssh_no_banner": "machine",
    "no_direct_ssh": "machine",  # shows no address, for ever or for `seconds` after it runs
    "price_above": "machine",  # rents for `factor` (2) times the price
    "error_status": "machine",  # fails after `seconds` (0) of running
    "exited": "machine",  # stops after `seconds` (0) of running
    "gpu_dead": "machine",
    "cuda_dead": "machine",  # its GPU is listed, and CUDA does not start
    "born_unhealthy": "machine",  # never passes its first health check
    "zero_gpu": "machine",  # is placed without any of its GPUs
    "stale_runtime": "machine",  # stopped, it still shows address and runtime of its last life
    # These four happen `seconds` (0) after it runs:
    "restart_loop": "machine",  # its command returns, in every life
    "restarts_elsewhere": "machine",  # its host starts it anew: other port and host key, no files
    "vanishes": "machine",  # its host is lost
    "outbid": "machine",  # stops: somebody pays more
    "start_zero_gpu": "start",  # a stopped machine comes back without GPUs
    "start_stale_address": "start",  # the old port is shown for `seconds` (30) more
    "billing_absent": "billing",  # no records, until cleared
    "billing_lag_s": "billing",  # standing: records arrive `seconds` (3600) after what they say
    "graphql_errors": "graphql",  # 200 with `errors`
}
LAGS = {"list_lag_s", "billing_lag_s"}  # they happen to no call, but to what it shows
STANDING = {*LAGS, "gone", "billing_absent"}
# Of these faults only some calls: `page` next, `kind` mutation, `action` terminate.
_ONLY = {
    "list_page_fail": ("page", "next"),
    "terminate_lies": ("action", "terminate"),
    "graphql_lies": ("kind", "mutation"),
}

Option = float | int | str | bool | None


class UnknownFault(ValueError):
    """There is no such fault, operation or option."""


@dataclass(slots=True)
class Fault:
    """One entry of the script."""

    provider: str
    operation: str
    name: str
    left: int | None  # None: until cleared
    skip: int = 0  # matching calls that still go well
    match: dict[str, str] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)

    def seconds(self, default: float) -> float:
        """The `seconds` option."""
        return self.number("seconds", default)

    def number(self, option: str, default: float) -> float:
        """A numeric option."""
        value = self.options.get(option)
        return float(value) if value is not None else default


@dataclass(frozen=True, slots=True)
class Words:
    """Faults that may be named: of any call or of one operation, and which stay or pick a call."""

    any_call: dict[str, str]
    belongs_to: dict[str, str]
    standing: set[str]
    only: dict[str, tuple[str, str]]


_SHARED = Words(ANY_CALL, BELONGS_TO, STANDING, _ONLY)


class FaultScript:
    """Faults in the order in which they were added; the first that matches a call happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._words: dict[str, Words] = {}
        # Provider, name and operation of all that came true, and how often; a lag: at each look.
        self.met: Counter[tuple[str, str, str]] = Counter()
        self._here = threading.local()

    def learn(self, provider: str, words: Words) -> None:
        """What goes wrong with one provider alone."""
        self._words[provider] = Words(
            any_call=_SHARED.any_call | words.any_call,
            belongs_to=_SHARED.belongs_to | words.belongs_to,
            standing=_SHARED.standing | words.standing,
            only=_SHARED.only | words.only,
        )

    def add(self, provider: str, operation: str, fault: str, **options: Option) -> Fault:
        """Add one. `times` (1; None: always), `after` (calls to let pass), `match` by facts
        that begin with `if_` (`if_gpu`, `if_cloud`), anything else is the fault's own option.

        Raises: UnknownFault.
        """
        words = self._words.get(provider, _SHARED)
        operation = words.belongs_to.get(fault, operation)
        if fault not in words.any_call and fault not in words.belongs_to:
            known = ", ".join(sorted([*words.any_call, *words.belongs_to]))
            raise UnknownFault(f"no fault {fault!r}; known: {known}")
        if operation not in OPERATIONS:
            raise UnknownFault(f"no operation {operation!r}; known: {', '.join(OPERATIONS)}")
        times = options.pop("times", None if fault in words.standing else 1)
        made = Fault(
            provider=provider,
            operation=operation,
            name=fault,
            left=None if times is None else int(times),
            skip=int(options.pop("after", 0) or 0),
            match={
                name.removeprefix("if_"): str(options.pop(name))
                for name in list(options)
                if name.startswith("if_")
            },
            options=options,
        )
        if fault in words.only:
            made.match.setdefault(*words.only[fault])
        with self._lock:
            self._faults.append(made)
        return made

    def take(
        self, provider: str, operation: str, facts: Mapping[str, str] | None = None
    ) -> Fault | None:
        """The fault that happens to this call now, counted."""
        with self._lock:
            for fault in self._faults:
                if fault.name not in LAGS and _matches(fault, provider, operation, facts or {}):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    self._count(fault)
                    self._here.names = {*getattr(self._here, "names", ()), fault.name}
                    return fault
        return None

    def happened(self) -> set[str]:
        """Names of those that met calls of this thread since it asked last."""
        names: set[str] = getattr(self._here, "names", set())
        self._here.names = set()
        return names

    def take_each(self, provider: str, operation: str, facts: Mapping[str, str]) -> list[Fault]:
        """Every fault that happens now, each name once, counted."""
        taken: dict[str, Fault] = {}
        with self._lock:
            for fault in list(self._faults):
                if fault.name in taken or not _matches(fault, provider, operation, facts):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                self._count(fault)
                taken[fault.name] = fault
        return list(taken.values())

    def standing(self, provider: str, name: str) -> Fault | None:
        """A fault that lasts until it is cleared."""
        with self._lock:
            for fault in self._faults:
                if (fault.provider, fault.name) == (provider, name):
                    self._note(fault)
                    return fault
            return None

    def clear(self, name: str | None = None) -> None:
        """Forget one kind of fault, or all."""
        with self._lock:
            self._faults = [f for f in self._faults if name is not None and f.name != name]

    def active(self) -> list[Fault]:
        """What is still to come."""
        with self._lock:
            return list(self._faults)

    def _note(self, fault: Fault) -> None:
        self.met[fault.provider, fault.name, fault.operation] += 1

    def _count(self, fault: Fault) -> None:
        self._note(fault)
        if fault.left is not None:
            fault.left -= 1
            if fault.left <= 0:
                self._faults.remove(fault)


def _matches(fault: Fault, provider: str, operation: str, facts: Mapping[str, str]) -> bool:
    if (fault.provider, fault.operation) != (provider, operation):
        return False
    return all(facts.get(name) == value for name, value in fault.match.items())
