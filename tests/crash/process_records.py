"""What must hold at the end of every story, by the cloud's own records and the home's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.process_store import ledger_usd, look
from tests.crash.process_stories import Story
from tests.e2e.cloud import Cloud

if TYPE_CHECKING:
    from tests.crash.processes import Telling

_CENT = Decimal("0.01")
_RESULT = b"forty-two\n"


@dataclass(frozen=True, slots=True)
class Records:
    """How long the cloud's lists were before a story began."""

    machines: int
    calls: int

    @classmethod
    def now(cls, cloud: Cloud) -> Records:
        return cls(len(cloud.machines()), len(cloud.calls("POST")))


def broken_promises(story: Story, telling: Telling, before: Records) -> list[str]:
    """One sentence for each thing that should have held."""
    machines = telling.cloud.machines()[before.machines :]
    calls = telling.cloud.calls("POST")[before.calls :]
    creates = [one for one in calls if one["path"].partition("?")[0].endswith("/pods")]
    broken = []
    if len(creates) != story.creates:
        broken.append(f"{len(creates)} creates were sent, not {story.creates}")
    broken += _machines(machines)
    if telling.view:
        broken += _ended(story, telling)
        views = [one for one in (telling.first_view, telling.view) if one]
        broken += _money(views, machines, telling.person.home)
        broken += [problem for one in views for problem in _artifacts(one)]
    broken += _left_at_home(telling.person.home, story.runs)
    return broken


def _machines(machines: list[dict[str, Any]]) -> Iterator[str]:
    if len(machines) != 1:
        yield f"{len(machines)} machines were rented, not one"
    for one in machines:
        if one["ended_at"] is None:
            yield f"{one['id']} still lives and bills"
        elif one["ended_by"] != "api":
            yield f"{one['id']} was ended by {one['ended_by']}"
    ended = [one for one in machines if one["ended_at"] is not None]
    for one, other in zip(ended, machines[1:], strict=False):
        if one["ended_at"] > other["created_at"]:
            yield f"{one['id']} and {other['id']} lived at the same time"


def _ended(story: Story, telling: Telling) -> Iterator[str]:
    view = telling.view
    if telling.exit_code != story.exit_code:
        yield f"exit code {telling.exit_code}, not {story.exit_code}: {view['error']}"
    if view["outcome"] != story.outcome:
        yield f"it ended {view['outcome']}, not {story.outcome}: {view['error']}"
    if view["returned"]["proven"] is not True:
        yield "the return is not proven"


def _money(
    views: list[dict[str, Any]], machines: list[dict[str, Any]], home: Path
) -> Iterator[str]:
    """One cap holds over all runs that used a machine: the first one's."""
    billed = sum((Decimal(one["billed_usd"]) for one in machines), Decimal(0))
    rate = max((Decimal(one["price_usd_per_hour"]) for one in machines), default=Decimal(0))
    cost = sum((Decimal(one["cost_usd"]) for one in views), Decimal(0))
    upper = sum((Decimal(one["spent_upper_usd"]) for one in views), Decimal(0))
    cap = Decimal(views[0]["cap_usd"])
    if abs(cost - billed) > max(_CENT, rate * 2 / 3600):
        yield f"the cost is ${cost}, the bill ${billed}"
    if upper < billed:
        yield f"the upper figure ${upper} is below the bill of ${billed}"
    if upper > cap:
        yield f"the upper figure ${upper} is above the cap of ${cap}"
    sums = ledger_usd(home)
    accrued = sums.get("accrued", Decimal(0))
    if abs(accrued - upper) > _CENT:
        yield f"the ledger accrued ${accrued}, the run ${upper}"
    if sums.get("committed", Decimal(0)) != sums.get("released", Decimal(0)):
        yield f"committed and released are not equal: {sums}"


def _artifacts(view: dict[str, Any]) -> Iterator[str]:
    folder = Path(view["artifacts_dir"])
    if view["artifacts_missing"]:
        yield f"not home: {view['artifacts_missing']}"
    if not any(one["path"] == "result.txt" for one in view["artifacts"]):
        yield "the receipt does not list result.txt"
    for one in view["artifacts"]:
        path = folder / one["path"]
        data = path.read_bytes() if path.is_file() else b""
        if (len(data), hashlib.sha256(data).hexdigest()) != (one["size_bytes"], one["sha256"]):
            yield f"{one['path']} is not at home as the receipt says"
        elif path.name == "result.txt" and data != _RESULT:
            yield f"result.txt holds {data[:100]!r}"


def _left_at_home(home: Path, runs: int) -> Iterator[str]:
    stored = look(home)
    if stored.runs != runs:
        yield f"{stored.runs} runs were recorded"
    for lease in stored.leases:
        if lease["state"] not in ("closed", "tombstone", "handed_over"):
            yield f"the lease {lease['key']} is left {lease['state']}"
