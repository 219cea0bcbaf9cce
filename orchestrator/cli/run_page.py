"""A run in blocks: while it goes on, and its receipt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from orchestrator.cli.blocks import (
    Bar,
    Block,
    Bullets,
    Cell,
    Facts,
    Line,
    Table,
    Text,
    Tone,
    heading,
    section,
)
from orchestrator.cli.figures import dollars, duration, moment, number, size, span
from orchestrator.runs.view import MachineOfRunView, RunView

_MOST_ARTIFACTS = 12
_OUTCOME_TONES = {"succeeded": Tone.GOOD, "cancelled": Tone.WARN, "capped": Tone.WARN}


def run_page(view: RunView) -> list[Block]:
    """`show` and `receipt`: an open run so far, or how an ended one ended."""
    return [
        heading(f"{view['name']} ({view['kind']}), run {view['run']}"),
        Facts(_ending(view)),
        *section("Cost", Facts(_cost(view))),
        *section("Phases", Text(_phases(view))),
        *section("Metrics", Facts(_metrics(view)), _course(view)),
        *section("Machines", _machines(view["machines"])),
        *section("Artifacts", *_artifacts(view)),
        *section("Not home", Bullets(tuple(view["artifacts_missing"]), Tone.BAD)),
        *section("Mind", Bullets(tuple(view["notes"]), Tone.WARN)),
    ]


def status_blocks(view: RunView) -> list[Block]:
    """The few lines at the foot of the terminal while a run is followed."""
    blocks: list[Block] = [
        heading(f"{view['name']}: {view['state']}"),
        Text(_phases(view), Tone.DIM),
    ]
    progress = view["progress"]
    if "steps" in progress and view["state"] in ("running", "collecting"):
        blocks.append(Bar(progress.get("step", 0), progress["steps"], progress_text(view)))
    elif text := progress_text(view):
        blocks.append(Text(text))
    blocks.append(_course(view))
    spent = f"{dollars(view['spent_upper_usd'])} of {dollars(view['cap_usd'])}"
    offer = view["offer"]
    machine = f"{offer['gpu'] or 'no GPU'} on {offer['provider']}" if offer else ""
    return [
        *blocks,
        Facts(
            (
                ("spent", f"{spent}, {dollars(view['burn_usd_per_hour'])}/h now"),
                ("machine", machine),
                ("waiting", view["waiting"]),
            )
        ),
        Bullets(tuple(view["notes"][-3:]), Tone.WARN),
    ]


def progress_text(view: RunView) -> str:
    """Step, loss, learning rate, speed and time left, as far as the program says them."""
    progress = view["progress"]
    parts = []
    if "steps" in progress:
        parts.append(f"step {progress.get('step', 0):.0f}/{progress['steps']:.0f}")
    elif step := progress.get("step"):  # 0: it runs, and counts nothing
        parts.append(f"step {step:.0f}")
    if "loss" in progress:
        parts.append(f"loss {number(progress['loss'])}")
    if "learning_rate" in progress:
        parts.append(f"lr {number(progress['learning_rate'])}")
    if "samples_per_s" in progress:
        parts.append(f"{number(progress['samples_per_s'])} samples/s")
    if "eta_s" in progress:
        parts.append(f"{duration(progress['eta_s'])} left")
    return "  ".join(parts)


def plain_status(view: RunView) -> str:
    """The same in one line, for a place that is no terminal."""
    spent = f"{dollars(view['spent_upper_usd'])} of {dollars(view['cap_usd'])}"
    parts = [view["state"], progress_text(view), view["waiting"], spent]
    return f"{view['name']}: " + ", ".join(part for part in parts if part)


def pulled_page(
    files: Sequence[tuple[str, int, str]], missing: Sequence[str], folder: str
) -> list[Block]:
    """What `pull` brought, and what it could not."""
    total = size(sum(size_bytes for _, size_bytes, _ in files))
    return [
        Text(f"{len(files)} files, {total}, each verified, in {folder}"),
        *section("Not home", Bullets(tuple(missing), Tone.BAD)),
    ]


def not_returned_text(view: RunView) -> str:
    """What to shout when machines are not proven gone."""
    kept = [
        f"{machine['provider']} {machine['id'] or 'id unknown'} ({machine['label']}),"
        f" {dollars(machine['price_usd_per_hour'])}/h"
        for machine in view["machines"]
        if not machine["returned"]["proven"] and not machine["handed_to"]
    ]
    return "A MACHINE IS NOT PROVEN RETURNED AND MAY STILL BILL: " + "; ".join(kept)


def _ending(view: RunView) -> tuple[tuple[str, Cell], ...]:
    outcome = view["outcome"]
    error = view["error"]
    tone = _OUTCOME_TONES.get(outcome or "", Tone.BAD if outcome else Tone.PLAIN)
    return (
        ("outcome", Text(outcome or f"open: {view['state']}", tone)),
        ("because", error["problem"] if error else ""),
        ("next", error["hint"] if error else ""),
        ("waiting", view["waiting"]),
        ("returned", _returned(view)),
        ("guard", view["guard"]),
        ("device", Text(_device(view), Tone.WARN)),
        ("host key", f"known by {view['host_key_by']}" if view["host_key_by"] else ""),
        ("started", moment(view["created_at"])),
        ("deadline", moment(view["deadline_at"]) if not outcome else ""),
        ("ended", moment(view["ended_at"]) if view["ended_at"] else ""),
        ("results", f"to {view['artifacts_at']}" if view["artifacts_at"] and not outcome else ""),
        ("log", view["log"]),
    )


def _returned(view: RunView) -> Cell:
    returned = view["returned"]
    if not view["machines"]:
        return "nothing was rented" if view["outcome"] else "nothing is rented yet"
    if returned["proven"]:
        by = f" ({returned['by']})" if "by" in returned else ""
        return Text(f"proven gone{by}, {moment(returned['at'])}", Tone.GOOD)
    if view["kept_until"]:
        burns = f"{dollars(view['burn_usd_per_hour'])}/h"
        how = f"submit --reuse {view['run']} goes on with it, cancel gives it back"
        return Text(f"kept until {moment(view['kept_until'])} at {burns}: {how}", Tone.WARN)
    if takers := [one["handed_to"] for one in view["machines"] if one["handed_to"]]:
        return f"run {takers[-1]} went on with the machine, and returns it"
    if returned.get("by") == "user":
        return Text("NOT PROVEN: a person said so", Tone.BAD)
    if view["outcome"] or view["state"] == "returning":
        return Text("NOT PROVEN: it may still bill", Tone.BAD)
    return "not yet: the machine works"


def _cost(view: RunView) -> tuple[tuple[str, Cell], ...]:
    low_usd, high_usd = view["forecast"]["cost_usd"]
    low_hours, high_hours = view["forecast"]["hours"]
    hours = span(3600 * low_hours, 3600 * high_hours)
    billed = (
        dollars(view["billed_usd"]) if view["billed_usd"] else "not known yet: gpulease reconcile"
    )
    upper = f"{dollars(view['spent_upper_usd'])} of the cap of {dollars(view['cap_usd'])}"
    burn = (
        ""
        if view["outcome"] and not view["kept_until"]
        else f", {dollars(view['burn_usd_per_hour'])}/h now"
    )
    forecast_usd = f"{dollars(low_usd)}-{dollars(high_usd)}"
    return (
        ("at most", upper + burn),
        ("estimate", f"{dollars(view['cost_usd'])} by the provider's own rule"),
        ("billed", billed),
        ("reclaims", _reclaims(view["machines"])),
        ("forecast", f"{forecast_usd} in {hours}"),
        ("actual", _actual(view) if view["outcome"] else ""),
    )


def _reclaims(machines: list[MachineOfRunView]) -> str:
    """How often a higher bid took a machine away, and what those had cost."""
    costs = [Decimal(one["cost_usd"]) for one in machines if one["reclaimed_at"]]
    if not costs:
        return ""
    times = "once" if len(costs) == 1 else f"{len(costs)} times"
    return f"{times}; {dollars(str(sum(costs)))} went to machines that were taken away"


def _actual(view: RunView) -> str:
    """What it came to; against what was said before, if the whole job was done."""
    actual = f"{dollars(view['cost_usd'])} in {duration(sum(view['phases_s'].values()))}"
    if view["outcome"] != "succeeded":
        return actual
    low_usd, high_usd = map(Decimal, view["forecast"]["cost_usd"])
    cost = Decimal(view["cost_usd"])
    place = "above" if cost > high_usd else "below" if cost < low_usd else "inside"
    return f"{actual}, {place} the forecast"


def _phases(view: RunView) -> str:
    return "  ".join(f"{name} {duration(spent)}" for name, spent in view["phases_s"].items())


def _metrics(view: RunView) -> tuple[tuple[str, Cell], ...]:
    """Final metrics; the figure that always guessing the commonest class gives beside accuracy."""
    metrics = dict(view["metrics"])
    majority = {key: metrics.pop(key) for key in list(metrics) if "majority" in key}
    rows = []
    for key, value in metrics.items():
        text = number(value)
        if key.endswith("accuracy") and majority:
            text += f"  (always the commonest class: {number(next(iter(majority.values())))})"
            majority = {}
        rows.append((key, text))
    rows += [(key, number(value)) for key, value in majority.items()]
    return tuple(rows) if rows else (("now", progress_text(view)),)


def _course(view: RunView) -> Line:
    points = tuple((step, loss) for step, loss in view["losses"])
    if len(points) < 2:
        return Line((), "")
    (_, first), (step, last) = points[0], points[-1]
    return Line(points, f"loss {number(first)} to {number(last)} at step {number(step)}")


def _device(view: RunView) -> str:
    return "trained on the CPU (allow_cpu)" if view["device"] == "cpu" else ""


def _machines(machines: list[MachineOfRunView]) -> Table:
    rows = tuple(
        (
            machine["provider"],
            machine["id"] or "-",
            machine["gpu"] or "none",
            dollars(machine["price_usd_per_hour"]),
            machine["why_ended"] or "-",
            _proof(machine),
        )
        for machine in machines
    )
    return Table(("provider", "id", "GPU", ">$/h", "ended because", "gone"), rows)


def _proof(machine: MachineOfRunView) -> Cell:
    returned = machine["returned"]
    if returned["proven"]:
        return Text(f"proven {moment(returned['at'])}", Tone.GOOD)
    return Text("not proven", Tone.BAD)


def _where(view: RunView) -> str:
    if bucket := view["artifacts_at"]:
        return f"in {bucket}; gpulease pull {view['run']} brings them home"
    return f"each verified, in {view['artifacts_dir']}"


def _artifacts(view: RunView) -> list[Block]:
    artifacts = view["artifacts"]
    if not artifacts:
        return []
    total = size(sum(artifact["size_bytes"] for artifact in artifacts))
    more = len(artifacts) - _MOST_ARTIFACTS
    rows = tuple(
        (artifact["path"], size(artifact["size_bytes"]), artifact["sha256"][:12])
        for artifact in artifacts[:_MOST_ARTIFACTS]
    )
    return [
        Text(f"{len(artifacts)} files, {total}, {_where(view)}"),
        Table(("path", ">size", "sha256"), rows),
        Text(f"and {more} more (--json lists all)" if more > 0 else "", Tone.DIM),
    ]
