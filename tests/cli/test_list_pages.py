from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

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


@pytest.mark.parametrize("columns", [40, 60])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ps --all", "runid123 tickets running succeeded booting $0.131 runpod"),
        ("offers", "runpod L40S $0.86 EU-RO-1 secure"),
        ("plan JOB --max-cost 2", "runpod L40S $0.09-$0.21 compute capability needed: $1.92"),
        ("machines", "orphan runpod pod-9 running closed"),
        ("ledger", "2027-01-14 runid123 tickets succeeded $12.31"),
        ("receipt last", "model/model.safetensors metrics.json abababababab runpod pod-1"),
        ("doctor", "data model hub HF_TOKEN"),
    ],
)
def test_a_narrow_page_breaks_no_word(
    gpulease: Gpulease,
    job_file: str,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    words: str,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    text = gpulease(*command.replace("JOB", job_file).split()).out

    assert set(words.split()) <= set(text.replace(",", " ").split()), text
    assert max(map(len, text.splitlines())) <= columns
