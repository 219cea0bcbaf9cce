"""Our figures against the providers' own bills, by machine and by run, once they are complete."""

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
from orchestrator.providers.base import Charge, Charges, has_nameless, total_usd
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.view import BilledView, OtherMachinesView, ReconcileView
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Our figure beside a bill; `billed_usd` is None while that is not known, and `why` says so."""

    ours_usd: Decimal
    billed_usd: Decimal | None
    tick_usd: Decimal  # how far both may be apart for rounding alone
    why: str = ""

    @property
    def drift_usd(self) -> Decimal:
        return Decimal(0) if self.billed_usd is None else self.billed_usd - self.ours_usd

    @property
    def differs(self) -> bool:
        return abs(self.drift_usd) > self.tick_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Figures):
    """A machine beside its bill."""

    machine: Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine(Figures):
    """A run beside the bills of its machines; of a machine that it shared, its part."""

    run_id: str
    machines: int
    shared: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A month's machines, what else is on the bills, and a sentence for each bill that failed."""

    lines: tuple[Line, ...]
    # Provider, machines that are not ours, dollars: None where a row of theirs has no amount.
    others: tuple[tuple[str, int, Decimal | None], ...]
    failures: tuple[str, ...]


def reconcile(journal: Journal, accounts: Accounts, month: Month, now_s: float) -> Reconciled:
    """Ask every provider of the month's machines for its bill, and keep what it says.

    A machine counts in the month in which its return was proven. Nothing is kept of a bill that
    may not be complete, or that another account's key brought. A row without an amount leaves its
    own machine unknown; one that names no machine may be anyone's, and nothing is kept either.
    """
    every = _machines(journal)
    machines = [
        one for one in every if not one.is_open and month.start_s <= one.gone_s < month.end_s
    ]
    lines: list[Line] = []
    others: list[tuple[str, int, Decimal | None]] = []
    failures: list[str] = []
    payers = sorted({(machine.provider, machine.account) for machine in machines})
    for name, account in payers:
        of_one = [one for one in machines if (one.provider, one.account) == (name, account)]
        try:
            charges = _bill(accounts, of_one, now_s)
        except GpuleaseError as error:
            failures.append(f"{name}: {error.problem}")
            lines += [_beside(one, None, "its bill was not read") for one in of_one]
            continue
        if charges is None:
            lines += [_beside(one, None, "its provider shows no bill") for one in of_one]
            continue
        lag_s = accounts.provider(name).capabilities.billing_lag_s
        found = [_line(one, charges, lag_s, now_s) for one in of_one]
        lines += found
        others += _others(name, {one.id for one in every if one.provider == name}, charges)
        failures += [f"{name}: {told}" for told in _unclear(charges)]
        if not has_nameless(charges):
            for line in found:
                _keep(journal, line, now_s)
    lines.sort(key=lambda line: line.machine.began_s)
    return Reconciled(tuple(lines), tuple(others), tuple(failures))


def by_run(lines: Iterable[Line]) -> list[RunLine]:
    """The same by run. A machine's bill is divided between its runs as our estimates are."""
    of_runs: dict[str, list[tuple[Line, Lease, Decimal | None]]] = {}
    for line in lines:
        for lease, usd in _parts(line):
            of_runs.setdefault(lease.run_id, []).append((line, lease, usd))
    found = []
    for run_id, parts in of_runs.items():
        machines = {(one.machine.provider, one.machine.id): one for one, _, _ in parts}.values()
        known = [usd for _, _, usd in parts if usd is not None]
        found.append(
            RunLine(
                run_id=run_id,
                machines=len(machines),
                shared=sum(_is_shared(one.machine) for one in machines),
                ours_usd=_sum(_estimate_usd(lease) for _, lease, _ in parts),
                billed_usd=_sum(known) if len(known) == len(parts) else None,
                tick_usd=_sum(_tick_usd(lease) for _, lease, _ in parts),
                why="; ".join(dict.fromkeys(one.why for one in machines if one.why)),
            )
        )
    return found


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
                **_to_figures(line),
            }
            for line in found.lines
        ],
        "runs": [
            {
                "run": line.run_id,
                "name": names.get(line.run_id, ""),
                "machines": line.machines,
                "shared": line.shared,
                **_to_figures(line),
            }
            for line in by_run(found.lines)
        ],
        "others": [_to_other(name, count, usd) for name, count, usd in found.others],
        "failures": list(found.failures),
    }


def _to_figures(figures: Figures) -> BilledView:
    known = figures.billed_usd is not None
    return {
        "estimate_usd": dollars(figures.ours_usd),
        "billed_usd": None if figures.billed_usd is None else dollars(figures.billed_usd),
        "drift_usd": dollars(figures.drift_usd) if known else None,
        "differs": figures.differs,
        "why": figures.why,
    }


def _to_other(name: str, count: int, usd: Decimal | None) -> OtherMachinesView:
    return {
        "provider": name,
        "machines": count,
        "billed_usd": None if usd is None else dollars(usd),
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
    if now_s < machine.gone_s + 2 * lag_s:
        minutes = max(1, round((machine.gone_s + 2 * lag_s - now_s) / 60))
        return _beside(machine, None, f"its bill is complete in about {minutes} min")
    found = [charge for charge in charges if charge.machine_id == machine.id]
    if not found:
        return _beside(machine, None, "it is not on the bill")
    usd = total_usd(found)
    return _beside(machine, usd, "a row of its bill has no amount" if usd is None else "")


def _beside(machine: Machine, usd: Decimal | None, why: str = "") -> Line:
    return Line(
        machine=machine,
        ours_usd=_sum(map(_estimate_usd, machine.leases)),
        billed_usd=usd,
        tick_usd=_sum(map(_tick_usd, machine.leases)),
        why=why,
    )


def _others(
    name: str, ours: set[str], charges: Iterable[Charge]
) -> list[tuple[str, int, Decimal | None]]:
    """What is on a bill of machines that are not ours."""
    strange = [one for one in charges if one.machine_id and one.machine_id not in ours]
    count = len({one.machine_id for one in strange})
    return [(name, count, total_usd(strange))] if strange else []


def _unclear(charges: Sequence[Charge]) -> list[str]:
    """What of a bill cannot be read, in sentences."""
    unread = [one for one in charges if one.usd is None and one.machine_id]
    nameless = [one for one in charges if not one.machine_id]
    told = [f"{_rows(unread)} no amount"] if unread else []
    if nameless:
        told.append(
            f"{_rows(nameless)} no machine, and may belong to any: the ledger is not corrected by "
            "this bill"
        )
    return told


def _rows(charges: Sequence[Charge]) -> str:
    one = len(charges) == 1
    return "a row of its bill has" if one else f"{len(charges)} rows of its bill have"


def _is_shared(machine: Machine) -> bool:
    return len({lease.run_id for lease in machine.leases}) > 1


def _estimate_usd(lease: Lease) -> Decimal:
    """By the provider's own rule, as if no bill were known."""
    return replace(lease, billed_usd=None).cost_usd(lease.gone_s or 0.0)


def _tick_usd(lease: Lease) -> Decimal:
    """How far the bill and an estimate may be apart for rounding alone."""
    price = Price(lease.usd_per_hour or lease.offer.price.usd_per_hour)
    return price.tick_usd(lease.increment_s)


def _sum(parts: Iterable[Decimal]) -> Decimal:
    return sum(parts, Decimal(0))


def _parts(line: Line) -> list[tuple[Lease, Decimal | None]]:
    """A machine's bill, divided between its leases as our estimates are."""
    if line.billed_usd is None:
        return [(lease, None) for lease in line.machine.leases]
    parts: list[tuple[Lease, Decimal | None]] = []
    left_usd = line.billed_usd
    *first, last = line.machine.leases
    for lease in first:
        share = _estimate_usd(lease) / line.ours_usd if line.ours_usd else Decimal(0)
        part_usd = (line.billed_usd * share).quantize(_MICRO)
        left_usd -= part_usd
        parts.append((lease, part_usd))
    return [*parts, (last, left_usd)]


def _keep(journal: Journal, line: Line, now_s: float) -> None:
    """Record the bill with its leases, and correct the ledger by it; once."""
    for lease, usd in _parts(line):
        if usd is not None and (lease.billed_usd != usd or lease.bound_usd != usd):
            _keep_one(journal, journal.run(lease.run_id), lease, usd, now_s)


def _keep_one(journal: Journal, run: Run, lease: Lease, usd: Decimal, now_s: float) -> None:
    before_usd = _spent_usd(journal, lease)
    corrected = replace(lease, billed_usd=usd, bound_usd=usd)
    entries = []
    if usd != before_usd:
        entries.append(
            Entry(
                lease.gone_s or now_s,  # it counts where the machine does
                run.id,
                EntryKind.CORRECTED,
                usd - before_usd,
                lease.key,
                "by the provider's bill",
            )
        )
    after = run.with_lease(corrected)
    journal.save(run, after, entries, [f"billed ${usd:.6f}"], now_s)


def _spent_usd(journal: Journal, lease: Lease) -> Decimal:
    """What the ledger says that this lease has cost."""
    kinds = (EntryKind.ACCRUED, EntryKind.CORRECTED)
    entries = journal.entries(run_id=lease.run_id)
    return _sum(one.usd for one in entries if one.label == lease.key and one.kind in kinds)
