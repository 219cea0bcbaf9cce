from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import LABEL, LEDGER, FakeApp

Golden = Callable[[str, str], None]


def test_the_month_reads_like_this(gpulease: Gpulease, app: FakeApp, golden: Golden) -> None:
    golden("ledger.txt", gpulease("ledger").out)

    assert app.called("ledger") == [None]


def test_json_is_the_statement(gpulease: Gpulease, app: FakeApp) -> None:
    shown = gpulease("ledger", "--month", "2027-01", "--json").json()

    assert shown == {**LEDGER, "days": [list(day) for day in LEDGER["days"]]}
    assert app.called("ledger") == ["2027-01"]


def test_csv_is_every_entry_without_terminal_escapes(gpulease: Gpulease) -> None:
    ended = gpulease("ledger", "--csv")

    assert ended.out.splitlines() == [
        "at,run,name,kind,usd,label,note",
        f'2027-01-14T08:12:00Z,runid123,"tickets, again",accrued,10.25,{LABEL},',
    ]


def test_two_answers_at_once_are_refused(gpulease: Gpulease) -> None:
    ended = gpulease("ledger", "--csv", "--json")

    assert ended.code == 2
    assert ended.json()["error"]["code"] == "usage"
