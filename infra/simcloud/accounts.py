"""Who pays: every provider has accounts of its own under the same few names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from infra.simcloud.rented import Rented
from infra.simcloud.timing import Now

NAMES = ("main", "other")
_PAID_IN_USD = Decimal(250)


@dataclass(slots=True)
class Account:
    """Somebody who pays."""

    id: str
    credit_usd: Decimal  # ever paid in
    # When nothing is left its machines end (None), or stop, and end when it owes more than this.
    grace_usd: Decimal | None = None
    ssh_keys: list[str] = field(default_factory=list)


class Accounts:
    """All of them, and what is left on each."""

    def __init__(self, machines: Mapping[str, Rented], clock: Now) -> None:
        self._machines = machines
        self._clock = clock
        self._accounts: dict[tuple[str, str], Account] = {}

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Provider and name of each."""
        return list(self._accounts)

    def __getitem__(self, key: tuple[str, str]) -> Account:
        return self._accounts[key]

    def open(self, provider: str, name: str, id_: str, grace_usd: Decimal | None = None) -> None:
        """One more, with money on it."""
        self._accounts[provider, name] = Account(id_, _PAID_IN_USD, grace_usd)

    def bill_usd(self, provider: str | None = None, name: str | None = None) -> Decimal:
        """What all machines cost so far, of one provider or name or of all."""
        now_s = self._clock.now_s()
        bills = [
            machine.bill_usd(now_s)
            for machine in list(self._machines.values())
            if provider in (None, machine.provider) and name in (None, machine.account)
        ]
        return sum(bills, Decimal(0))

    def balance_usd(self, provider: str, name: str) -> Decimal:
        """What is left on one."""
        return self[provider, name].credit_usd - self.bill_usd(provider, name)

    def set_balance_usd(self, provider: str, name: str, usd: str) -> None:
        """What is left on one, from now on."""
        self[provider, name].credit_usd = Decimal(usd) + self.bill_usd(provider, name)
