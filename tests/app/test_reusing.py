from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app import App, SubmitOptions
from orchestrator.errors import UsageError
from orchestrator.runs.states import LeaseState, Outcome, State
from orchestrator.store.journal import Journal
from tests.app.homes import add, ended
from tests.lifecycle.jobs import own_code
from tests.runs.samples import NOW_S, RUN_ID, lease, run


def keeps(home: Path, name: str = "trainer") -> None:
    """A run of this home that keeps this computer's own machine, for an hour."""
    from decimal import Decimal

    from orchestrator.budget.price import Price
    from orchestrator.clock import SystemClock
    from orchestrator.offers.offer import Offer

    now_s = SystemClock().now_s()
    here = Offer("this computer", "local", "", 0, 0.0, Price(Decimal(0)))
    held = lease(
        provider="local",
        offer=here,
        bills=False,
        state=LeaseState.HELD,
        machine_id="label-0",
        deadline_s=now_s + 9000,
    )
    made = run(state=State.KEPT, leases=(held,), outcome=Outcome.SUCCEEDED, name=name)
    with_keys = home / "runs" / RUN_ID / "keys"
    with_keys.mkdir(parents=True)
    (with_keys / "id_ed25519").write_text("the key that the machine knows")
    journal = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    add(journal, replace(made, kept_until_s=now_s + 3600))
    journal.close()


def test_the_plan_is_the_kept_machine_and_nothing_is_rented(
    app: App, home: Path, tmp_path: Path
) -> None:
    keeps(home)

    plan = app.plan(own_code(tmp_path, "providers: [local]\n"), reuse="trainer")

    assert [one["provider"] for one in plan["offers"]] == ["local"]
    assert "label-0 of trainer" in plan["guards"][0]


def test_a_home_without_a_kept_machine_says_so(app: App, home: Path, tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    add(journal, ended("runid456", "older"))
    journal.close()

    with pytest.raises(UsageError, match="older has no kept machine: it went back"):
        app.plan(own_code(tmp_path), reuse="older")
    with pytest.raises(UsageError, match="no run is 'nobody'"):
        app.plan(own_code(tmp_path), reuse="nobody")


def test_a_second_submit_does_not_follow_a_run_that_is_over(
    app: App, home: Path, tmp_path: Path
) -> None:
    keeps(home)
    job = own_code(tmp_path, "providers: [local]\n")

    with pytest.raises(UsageError, match="its machine is kept") as caught:
        app.submit(job, app.plan(job), SubmitOptions())

    assert f"--reuse {RUN_ID}" in caught.value.hint and "--again" in caught.value.hint
    assert NOW_S > 0
