"""Runs, machines and findings in blocks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from orchestrator.cli.blocks import (
    Bar,
    Block,
    Bullets,
    Cell,
    Chart,
    Facts,
    Table,
    Text,
    Tone,
    heading,
    section,
)
from orchestrator.cli.figures import dollars, minute
from orchestrator.providers.doubts import Doubt
from orchestrator.runs.view import (
    BilledRunView,
    BilledView,
    LedgerView,
    MachineView,
    ReconcileView,
    RunView,
)

Finding = tuple[str, bool | None, str, str]  # what, ok or None for unknown, finding, fix

_WHOSE_TONES = {"orphan": Tone.BAD, "ours": Tone.GOOD}


def runs_page(runs: Sequence[RunView], month: tuple[Decimal, Decimal, Decimal]) -> list[Block]:
    """One line a run, and what the month has cost."""
    rows = tuple(_run_row(view) for view in runs)
    spent, committed, limit = (dollars(str(figure)) for figure in month)
    headings = ["run", "name", "state", "machine", ">spent", ">cap", ">$/h now", "since, UTC"]
    if any(run["waiting"] for run in runs):
        headings.append("waiting")
        rows = tuple((*row, run["waiting"] or "-") for row, run in zip(rows, runs, strict=True))
    return [
        Text("" if rows else "no open run (--all shows the ended ones)"),
        Table(tuple(headings), rows),
        Text(f"this month: {spent} spent, {committed} committed, of {limit}", Tone.DIM),
    ]


def machines_page(machines: Sequence[MachineView]) -> list[Block]:
    """One line a machine, and what all of them burn."""
    rows = tuple(_machine_row(machine) for machine in machines)
    burn = sum((Decimal(machine["usd_per_hour"]) for machine in machines), Decimal(0))
    return [
        Text("" if rows else "no machine on any account"),
        Table(
            (
                "whose",
                "provider",
                "id",
                "GPU",
                "status",
                ">$/h",
                ">age",
                "run",
                "deadline, UTC",
                "note",
            ),
            rows,
        ),
        Text(f"together {dollars(str(burn))}/h" if rows else "", Tone.DIM),
    ]


def ledger_page(view: LedgerView) -> list[Block]:
    """A month: its figures, a bar a day, a line a run."""
    spent = sum((Decimal(view[key]) for key in ("spent_usd", "open_usd")), Decimal(0))
    limit = Decimal(view["limit_usd"])
    rows = tuple(
        (
            run["run"],
            run["name"],
            run["outcome"] or "open",
            f"{run['gpu'] or 'no GPU'}, {run['provider']}" if run["provider"] else "-",
            str(run["machines"]),
            dollars(run["spent_upper_usd"]),
            dollars(run["cost_usd"]),
        )
        for run in view["runs"]
    )
    return [
        heading(f"{view['month']}, UTC"),
        Bar(float(spent), float(limit), f"{dollars(str(spent))} of {dollars(view['limit_usd'])}"),
        Facts(
            (
                ("spent", dollars(view["spent_usd"])),
                (
                    "on open runs",
                    f"{dollars(view['open_usd'])} so far" if view["open_runs"] else "",
                ),
                ("committed", f"{dollars(view['committed_usd'])}, the worst case of open runs"),
            )
        ),
        *section("By day, and how much of the limit that made", Chart(_days(view["days"], limit))),
        *section(
            "By run",
            Table(("run", "name", "outcome", "machine", ">rented", ">spent", ">estimate"), rows),
        ),
    ]


def reconcile_page(view: ReconcileView) -> list[Block]:
    """A month's machines and runs beside the bills, and what else the bills hold."""
    if not view["machines"]:
        return [Text(f"no machine was returned in {view['month']}")]
    machines = tuple(
        (one["machine"], one["provider"], ", ".join(one["names"]), *_billed(one))
        for one in view["machines"]
    )
    runs = tuple(
        (one["run"][:8], one["name"], _machines_of(one), *_billed(one)) for one in view["runs"]
    )
    others = tuple(
        (
            one["provider"],
            f"{'an unknown amount' if one['billed_usd'] is None else dollars(one['billed_usd'])} "
            f"for {one['machines']} machine{'s' if one['machines'] > 1 else ''} not rented by this "
            "home",
        )
        for one in view["others"]
    )
    figures = (">estimate", ">billed", ">drift")
    return [
        heading(f"{view['month']}, UTC"),
        Table(("machine", "provider", "run", *figures), machines),
        Facts(others),
        *section("By run", Table(("run", "name", "machines", *figures), runs)),
    ]


def _billed(one: BilledView) -> tuple[Cell, Cell, Cell]:
    billed = dollars(one["billed_usd"]) if one["billed_usd"] is not None else one["why"]
    return dollars(one["estimate_usd"]), billed, _drift(one)


def _machines_of(run: BilledRunView) -> str:
    """How many, and how many of them others used too: of those it bears a part."""
    return f"{run['machines']}, {run['shared']} shared" if run["shared"] else f"{run['machines']}"


def _drift(one: BilledView) -> Cell:
    if one["drift_usd"] is None:
        return ""
    usd = Decimal(one["drift_usd"])
    text = f"{'-' if usd < 0 else '+'}{dollars(str(abs(usd)))}" if usd else "none"
    return Text(text, Tone.WARN) if one["differs"] else text


def _days(days: Sequence[tuple[str, str]], limit: Decimal) -> tuple[tuple[str, float, str], ...]:
    """A bar a day, and how far the month's limit was used up with it.

    >>> _days([("2027-01-03", "2.25"), ("2027-01-14", "10.25")], Decimal(100))[1]
    ('2027-01-14', 10.25, '$10.25, 12.5 %')
    """
    rows: list[tuple[str, float, str]] = []
    together = Decimal(0)
    for day, usd in days:
        together += Decimal(usd)
        share = f", {100 * together / limit:.1f} %" if limit else ""
        rows.append((day, float(usd), f"{dollars(usd)}{share}"))
    return tuple(rows)


def findings_page(findings: Sequence[Finding]) -> list[Block]:
    """What was looked at, how it is, and what to do about it."""
    words = {True: ("ok", Tone.GOOD), False: ("no", Tone.BAD), None: ("?", Tone.WARN)}
    rows: list[tuple[Cell, ...]] = []
    for what, ok, finding, fix in findings:
        word, tone = words[ok]
        rows.append((Text(word, tone), what, finding, "" if ok else fix))
    return [Table(("", "what", "found", "fix"), tuple(rows))]


def doubts_page(doubts: Sequence[tuple[str, Doubt]]) -> list[Block]:
    """What nobody has tried on a real account, and what is done until somebody has."""
    rows = [(provider, one.key, one.question, one.careful) for provider, one in doubts]
    return [Table(("provider", "what", "open", "meanwhile"), tuple(rows))]


def doubt_objects(doubts: Sequence[tuple[str, Doubt]]) -> list[dict[str, object]]:
    """The same for --json, with the command that settles each from a checkout."""
    return [
        {
            "provider": provider,
            "what": one.key,
            "question": one.question,
            "careful": one.careful,
            "check": one.check(provider),
        }
        for provider, one in doubts
    ]


def failures_block(failures: Sequence[str]) -> list[Block]:
    """Accounts or providers that could not be asked."""
    return [Bullets(tuple(failures), Tone.WARN)]


def finding_objects(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """The same for --json."""
    return [
        {"what": what, "ok": ok, "finding": finding, "fix": fix}
        for what, ok, finding, fix in findings
    ]


def _run_row(view: RunView) -> tuple[Cell, ...]:
    offer = view["offer"]
    state: Cell = view["state"]
    if view["kept_until"]:
        state = Text(f"kept until {minute(view['kept_until'])}", Tone.WARN)
    elif view["outcome"]:
        good = view["outcome"] == "succeeded" and view["returned"]["proven"]
        state = Text(view["outcome"], Tone.GOOD if good else Tone.BAD)
    return (
        (view["run"] or "-")[:8],
        view["name"],
        state,
        f"{offer['gpu'] or 'no GPU'}, {offer['provider']}" if offer else "-",
        dollars(view["spent_upper_usd"]),
        dollars(view["cap_usd"]),
        dollars(view["burn_usd_per_hour"]),
        minute(view["created_at"]),
    )


def _machine_row(machine: MachineView) -> tuple[Cell, ...]:
    return (
        Text(machine["whose"], _WHOSE_TONES.get(machine["whose"], Tone.PLAIN)),
        machine["provider"],
        machine["id"],
        machine["gpu"] or "none",
        machine["status"],
        dollars(machine["usd_per_hour"]),
        "-" if machine["age_hours"] is None else f"{machine['age_hours']:.1f} h",
        (machine["run"] or "-")[:8],
        minute(machine["deadline"]),
        machine["note"] or "-",
    )
