from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import RECONCILED, FakeApp

Golden = Callable[[str, str], None]


def test_the_bill_reads_like_this(gpulease: Gpulease, app: FakeApp, golden: Golden) -> None:
    ended = gpulease("reconcile")

    golden("reconcile.txt", ended.out)
    assert ended.code == 6
    assert "lambda: no answer" in ended.err
    assert app.called("reconcile") == [None]


def test_json_is_the_comparison(gpulease: Gpulease, app: FakeApp) -> None:
    shown = gpulease("reconcile", "--month", "2027-01", "--json").json()

    assert shown == RECONCILED
    assert app.called("reconcile") == ["2027-01"]
