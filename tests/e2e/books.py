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
) -> list[dict[str, Any]]:
    """Check a receipt of a person's only run; `ended_by`: of each machine.

    Returns: the cloud's own records of the person's machines.
    """
    machines = cloud.machines(person.home_id)
    assert [one["ended_by"] for one in machines] == list(ended_by)
    assert receipt["state"] == "ended"
    assert receipt["returned"]["proven"] is True
    assert [one["id"] for one in receipt["machines"]] == [one["id"] for one in machines]
    assert all(one["returned"]["proven"] for one in receipt["machines"])
    billed_usd = cloud.billed_usd(person.home_id)
    assert abs(Decimal(receipt["cost_usd"]) - billed_usd) <= CENT
    assert billed_usd <= Decimal(receipt["spent_upper_usd"]) <= Decimal(receipt["cap_usd"])
    month = person.types("ps", "--json").json()["month"]
    assert Decimal(month["committed_usd"]) == 0
    assert Decimal(month["spent_usd"]) == Decimal(receipt["spent_upper_usd"])
    return machines
