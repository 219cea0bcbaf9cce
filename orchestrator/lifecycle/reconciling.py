"""Our figures against the providers' own bills, machine by machine, once the bills are complete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from orchestrator.budget.ledger import Entry, EntryKind
from orchestrator.budget.month import Month
from orchestrator.budget.price import Price
from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.views import dollars
from orchestrator.providers.base import Charge, Charges
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.view import ReconcileView
from orchestrator.store.journal import Journal

_EARLY_S = 3600.0  # a record may begin before the create was answered
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine with its leases, of which there are several when runs went on with it."""

    provider: str
    id: str
    leases: tuple[Lease, ...]
    is_open: bool

    @property
    def account(self) -> str:
        return self.leases[0].account

    @property
    def gone_s(self) -> float:
        return max(lease.gone_s or 0.0 for lease in self.leases)

    @property
    def began_s(self) -> float:
        return min(lease.sent_s or 0.0 for lease in self.leases)

    @property
    def tick_usd(self) -> Decimal:
        """How far the bill and an estimate may be apart for rounding alone."""
        ticks = (
            Price(lease.usd_per_hour or lease.offer.price.usd_per_hour).tick_usd(lease.increment_s)
            for lease in self.leases
        )
        return sum(ticks, Decimal(0))


@dataclass(frozen=True, slots=True)
class Line:
    """A machine beside its bill; `billed_usd` is None while the bill may not be complete."""

    machine: Machine
    ours_usd: Decimal
    billed_usd: Decimal | None
    why: str = ""  # there is no figure

    @property
    def drift_usd(self) -> Decimal:
        return Decimal(0) if self.billed_usd is None else self.billed_usd - self.ours_usd

    @property
    def differs(self) -> bool:
        return abs(self.drift_usd) > self.machine.tick_usd


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A month's machines, what else is on the bills, and one sentence per account that failed."""

    lines: tuple[Line, ...]
    others: tuple[tuple[str, int, Decimal], ...]  # provider, machines that are not ours, dollars
    failures: tuple[str, ...]


def reconcile(journal: Journal, accounts: Accounts, month: Month, now_s: float) -> Reconciled:
    """Ask every provider of the month's machines for its bill, and keep what it says.

    A machine counts in the month in which its return was proven. Nothing is kept of a bill that
    may not be complete, or that another account's key brought.
    """
    every = _machines(journal)
    machines = [
        one for one in every if not one.is_open and month.start_s <= one.gone_s < month.end_s
    ]
    lines: list[Line] = []
    others: list[tuple[str, int, Decimal]] = []
    failures: list[str] = []
    payers = sorted({(machine.provider, machine.account) for machine in machines})
    for name, account in payers:
        of_one = [one for one in machines if (one.provider, one.account) == (name, account)]
        try:
            charges = _bill(accounts, of_one, now_s)
        except GpuleaseError as error:
            failures.append(f"{name}: {error.problem}")
            lines += [Line(one, _ours_usd(one), None, "its bill was not read") for one in of_one]
            continue
        if charges is None:
            lines += [
                Line(one, _ours_usd(one), None, "its provider shows no bill") for one in of_one
            ]
            continue
        lag_s = accounts.provider(name).capabilities.billing_lag_s
        lines += [_line(one, charges, lag_s, now_s) for one in of_one]
        ours = {machine.id for machine in every if machine.provider == name}
        strange = [charge for charge in charges if charge.machine_id not in ours]
        if strange:
            count = len({charge.machine_id for charge in strange})
            others.append((name, count, sum((one.usd for one in strange), Decimal(0))))
    for line in lines:
        if line.billed_usd is not None:
            _keep(journal, line, now_s)
    lines.sort(key=lambda line: line.machine.began_s)
    return Reconciled(tuple(lines), tuple(others), tuple(failures))


def to_view(month: Month, found: Reconciled, names: dict[str, str]) -> ReconcileView:
    """`names`: of runs, by id."""
    return {
        "schema": 1,
        "month": str(month),
        "machines": [
            {
                "machine": line.machine.id,
                "provider": line.machine.provider,
                "runs": [lease.run_id for lease in line.machine.leases],
                "names": [names.get(lease.run_id, "") for lease in line.machine.leases],
                "estimate_usd": dollars(line.ours_usd),
                "billed_usd": None if line.billed_usd is None else dollars(line.billed_usd),
                "drift_usd": None if line.billed_usd is None else dollars(line.drift_usd),
                "differs": line.differs,
                "why": line.why,
            }
            for line in found.lines
        ],
        "others": [
            {"provider": name, "machines": count, "billed_usd": dollars(usd)}
            for name, count, usd in found.others
        ],
        "failures": list(found.failures),
    }


def _machines(journal: Journal) -> list[Machine]:
    """Every machine that this home has rented."""
    by_id: dict[tuple[str, str], list[Lease]] = {}
    for lease in sorted(journal.leases(), key=lambda lease: lease.sent_s or 0.0):
        if lease.bills and lease.machine_id is not None:
            by_id.setdefault((lease.provider, lease.machine_id), []).append(lease)
    return [
        Machine(name, machine_id, tuple(leases), any(lease.is_open for lease in leases))
        for (name, machine_id), leases in by_id.items()
    ]


def _bill(accounts: Accounts, machines: Sequence[Machine], now_s: float) -> list[Charge] | None:
    """What the provider has charged since the first of these machines; None where it tells nobody.

    Raises: ProviderError, MissingCredentials.
    """
    provider, _ = accounts.renter(machines[0].account, machines[0].provider)
    if not isinstance(provider, Charges):
        return None
    return provider.charges(min(one.began_s for one in machines) - _EARLY_S, now_s)


def _line(machine: Machine, charges: Iterable[Charge], lag_s: float, now_s: float) -> Line:
    ours_usd = _ours_usd(machine)
    if now_s < machine.gone_s + 2 * lag_s:
        minutes = max(1, round((machine.gone_s + 2 * lag_s - now_s) / 60))
        return Line(machine, ours_usd, None, f"its bill is complete in about {minutes} min")
    found = [charge.usd for charge in charges if charge.machine_id == machine.id]
    if not found:
        return Line(machine, ours_usd, None, "it is not on the bill")
    return Line(machine, ours_usd, sum(found, Decimal(0)))


def _ours_usd(machine: Machine) -> Decimal:
    return sum((_estimate_usd(lease) for lease in machine.leases), Decimal(0))


def _estimate_usd(lease: Lease) -> Decimal:
    """By the provider's own rule, as if no bill were known."""
    return replace(lease, billed_usd=None).cost_usd(lease.gone_s or 0.0)


def _keep(journal: Journal, line: Line, now_s: float) -> None:
    """Record the bill with its leases, and correct the ledger by it; once."""
    assert line.billed_usd is not None
    left_usd = line.billed_usd
    for place, lease in enumerate(line.machine.leases):
        is_last = place == len(line.machine.leases) - 1
        share = _estimate_usd(lease) / line.ours_usd if line.ours_usd else Decimal(0)
        billed_usd = left_usd if is_last else (line.billed_usd * share).quantize(_MICRO)
        left_usd -= billed_usd
        if lease.billed_usd != billed_usd or lease.bound_usd != billed_usd:
            _keep_one(journal, journal.run(lease.run_id), lease, billed_usd, now_s)


def _keep_one(journal: Journal, run: Run, lease: Lease, billed_usd: Decimal, now_s: float) -> None:
    before_usd = _spent_usd(journal, lease)
    corrected = replace(lease, billed_usd=billed_usd, bound_usd=billed_usd)
    entries = []
    if billed_usd != before_usd:
        entries.append(
            Entry(
                lease.gone_s or now_s,  # it counts where the machine does
                run.id,
                EntryKind.CORRECTED,
                billed_usd - before_usd,
                lease.key,
                "by the provider's bill",
            )
        )
    after = run.with_lease(corrected)
    journal.save(run, after, entries, [f"billed ${billed_usd:.6f}"], now_s)


def _spent_usd(journal: Journal, lease: Lease) -> Decimal:
    """What the ledger says that this lease has cost."""
    kinds = (EntryKind.ACCRUED, EntryKind.CORRECTED)
    entries = journal.entries(run_id=lease.run_id)
    return sum(
        (one.usd for one in entries if one.label == lease.key and one.kind in kinds), Decimal(0)
    )
