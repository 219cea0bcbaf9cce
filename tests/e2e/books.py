"""What the run says it cost and gave back, against what the cloud itself recorded."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.e2e.cloud import Cloud
from tests.e2e.person import Person

CENT = Decimal("0.01")


def books_agree(
    receipt: dict[str, Any],
    person: Person,
    cloud: Cloud,
    *,
    ended_by: Sequence[str] = ("api",),
    tick_usd: Decimal = CENT,
) -> list[dict[str, Any]]:
    """Check a receipt of a person's only run; `ended_by`: of each machine.

    Args:
        tick_usd: how far apart estimate and bill may be: an increment of each machine's.

    Returns: the cloud's own records of the person's machines.
    """
    machines = cloud.machines(person.home_id)
    assert [one["ended_by"] for one in machines] == list(ended_by)
    assert receipt["state"] == "ended"
    assert receipt["returned"]["proven"] is True
    assert [one["id"] for one in receipt["machines"]] == [one["id"] for one in machines]
    assert all(one["returned"]["proven"] for one in receipt["machines"])
    billed_usd = cloud.billed_usd(person.home_id)
    assert abs(Decimal(receipt["cost_usd"]) - billed_usd) <= tick_usd
    assert billed_usd <= Decimal(receipt["spent_upper_usd"]) <= Decimal(receipt["cap_usd"])
    month = person.types("ps", "--json").json()["month"]
    assert Decimal(month["committed_usd"]) == 0
    assert Decimal(month["spent_usd"]) == Decimal(receipt["spent_upper_usd"])
    return machines


def books_of_both(first: dict[str, Any], second: dict[str, Any], cloud: Cloud, home: str) -> None:
    """One machine, one bill, two receipts that share it."""
    (machine,) = cloud.machines(home)
    assert machine["ended_by"] == "api"
    assert [one["id"] for one in (*first["machines"], *second["machines"])] == [machine["id"]] * 2
    assert first["machines"][0]["handed_to"] == second["run"]
    assert second["returned"]["proven"] is True
    billed_usd = cloud.billed_usd(home)
    cost_usd = Decimal(first["cost_usd"]) + Decimal(second["cost_usd"])
    upper_usd = Decimal(first["spent_upper_usd"]) + Decimal(second["spent_upper_usd"])
    assert abs(cost_usd - billed_usd) <= CENT
    assert billed_usd <= upper_usd <= Decimal(first["cap_usd"])
