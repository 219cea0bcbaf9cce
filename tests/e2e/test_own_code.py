"""A person's own code, from the command line to the result."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person


def test_own_code_is_run_and_its_result_comes_home(person: Person, cloud: Cloud) -> None:
    job = own_code(person)

    ended = person.types("submit", job, "--yes", "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = ended.json()
    assert receipt["outcome"] == "succeeded"
    assert receipt["returned"]["proven"] is True
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    (machine,) = cloud.machines(person.home_id)
    assert machine["ended_by"] == "api"
    assert abs(Decimal(receipt["cost_usd"]) - Decimal(machine["billed_usd"])) <= Decimal("0.01")
    assert Decimal(receipt["spent_upper_usd"]) >= Decimal(machine["billed_usd"])
