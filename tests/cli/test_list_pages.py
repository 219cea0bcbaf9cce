from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from orchestrator.cli.list_pages import runs_page
from tests.cli.conftest import Gpulease
from tests.cli.fake_app import MACHINE, FakeApp, open_view

Golden = Callable[[str, str], None]
MONTH = (Decimal("12.50"), Decimal("1.92"), Decimal(100))


def test_the_runs_read_like_this(gpulease: Gpulease, golden: Golden) -> None:
    golden("ps.txt", gpulease("ps", "--all").out)


def test_what_a_run_waits_for_is_a_column_when_one_waits() -> None:
    calm, waits = open_view(waiting=""), open_view("booting", waiting="no sshd yet")

    assert "waiting" not in str(runs_page([calm], MONTH))
    assert "no sshd yet" in str(runs_page([calm, waits], MONTH))


def test_the_machines_read_like_this(gpulease: Gpulease, app: FakeApp, golden: Golden) -> None:
    app.machines_found = [
        MACHINE,
        {**MACHINE, "whose": "foreign", "label": None, "run": None, "deadline": None, "note": ""},
    ]

    golden("machines.txt", gpulease("machines").out)


def test_the_findings_read_like_this(gpulease: Gpulease, app: FakeApp, golden: Golden) -> None:
    app.findings.append(("sshd", False, "no OpenSSH client", "apt-get install openssh-client"))

    golden("doctor.txt", gpulease("doctor").out)


def test_no_machine_is_said(gpulease: Gpulease, app: FakeApp) -> None:
    app.machines_found = []

    assert gpulease("machines").out.strip() == "no machine on any account"
