"""What must hold at the end of every story, by the cloud's own records and the home's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.process_store import events, ledger_usd, look
from tests.crash.process_stories import Story
from tests.e2e.cloud import Cloud

if TYPE_CHECKING:
    from tests.crash.processes import Telling

_CREATE = re.compile(r"/pods$|/asks/\d+/$|/instance-operations/launch$|/machines$")
_CENT = Decimal("0.01")
RESULT = b"forty-two\n"


@dataclass(frozen=True, slots=True)
class Records:
    """How long the cloud's lists were before a story began."""

    machines: int
    creates: int
    calls: int

    @classmethod
    def now(cls, cloud: Cloud) -> Records:
        return cls(len(cloud.machines()), len(_creates(cloud)), len(cloud.calls("GET")))


def broken_promises(story: Story, telling: Telling, before: Records) -> list[str]:
    """One sentence for each thing that should have held."""
    every = telling.cloud.machines()[before.machines :]
    machines = [one for one in every if not telling.is_neighbours(one)]
    creates = _creates(telling.cloud)[before.creates :]
    broken = []
    if story.creates and len(creates) != story.creates:
        broken.append(f"{len(creates)} creates were sent, not {story.creates}")
    broken += _machines(machines, story.ended_by)
    if telling.view:
        broken += _ended(story, telling)
        views = [one for one in (telling.first_view, telling.view) if one]
        broken += _money(views, machines, telling.person.home, story.set_s)
        broken += [problem for one in views for problem in _artifacts(one, story)]
    if not telling.tally.killed:
        broken += _told(story, telling, before)
    broken += _left_at_home(telling.person.home, story.runs)
    return broken


def _creates(cloud: Cloud) -> list[dict[str, Any]]:
    """Calls that ask for a machine, the oldest first."""
    calls = [*cloud.calls("POST"), *cloud.calls("PUT")]
    found = [one for one in calls if _CREATE.search(one["path"].partition("?")[0])]
    return sorted(found, key=lambda one: float(one["at"]))


def _machines(machines: list[dict[str, Any]], ended_by: tuple[str, ...]) -> Iterator[str]:
    if len(machines) != len(ended_by):
        yield f"{len(machines)} machines were rented, not {len(ended_by)}"
    for one, expected in zip(machines, ended_by, strict=False):
        if one["ended_at"] is not None and one["ended_by"] != expected:
            yield f"{one['id']} was ended by {one['ended_by']}, not {expected}"
    for one in machines:
        if one["ended_at"] is None:
            yield f"{one['id']} still lives and bills"
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
    views: list[dict[str, Any]], machines: list[dict[str, Any]], home: Path, set_s: float
) -> Iterator[str]:
    """One cap holds over all runs that used a machine: the first one's.

    Where the wall clock was set ahead, time is counted that never was, as long as it was set.
    """
    billed = sum((Decimal(one["billed_usd"]) for one in machines), Decimal(0))
    rate = max((Decimal(one["price_usd_per_hour"]) for one in machines), default=Decimal(0))
    cost = sum((Decimal(one["cost_usd"]) for one in views), Decimal(0))
    upper = sum((Decimal(one["spent_upper_usd"]) for one in views), Decimal(0))
    cap = Decimal(views[0]["cap_usd"])
    never_was = rate * Decimal(set_s) / 3600
    if abs(cost - billed - never_was) > max(_CENT, rate * 2 / 3600):
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


def _artifacts(view: dict[str, Any], story: Story) -> Iterator[str]:
    folder = Path(view["artifacts_dir"])
    if bool(view["artifacts_missing"]) != story.loses:
        yield f"not home: {view['artifacts_missing'] or 'nothing is named'}"
    if bool(view["artifacts_at"]) != story.bucket:
        yield f"they lie in {view['artifacts_at'] or 'no bucket'}"
    if not story.loses and not any(one["path"] == "result.txt" for one in view["artifacts"]):
        yield "the receipt does not list result.txt"
    for one in view["artifacts"]:
        path = folder / one["path"]
        data = path.read_bytes() if path.is_file() else b""
        if (len(data), hashlib.sha256(data).hexdigest()) != (one["size_bytes"], one["sha256"]):
            yield f"{one['path']} is not at home as the receipt says"
        elif path.name == "result.txt" and data != RESULT:
            yield f"result.txt holds {data[:100]!r}"


def _told(story: Story, telling: Telling, before: Records) -> Iterator[str]:
    """Whether what the story has in store happened at all; with a death nobody may have seen it."""
    if not re.search(story.told, events(telling.person.home)):
        yield f"nothing of it is told as {story.told!r}"
    answers = {one["status"] for one in telling.cloud.calls("GET")[before.calls :]}
    if story.meets and story.meets not in answers:
        yield f"no call was answered {story.meets}"


def _left_at_home(home: Path, runs: int) -> Iterator[str]:
    stored = look(home)
    if stored.runs != runs:
        yield f"{stored.runs} runs were recorded"
    for lease in stored.leases:
        if lease["state"] not in ("closed", "tombstone", "handed_over"):
            yield f"the lease {lease['key']} is left {lease['state']}"
