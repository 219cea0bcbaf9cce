from __future__ import annotations

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_it_drives_and_is_not_on_the_first_page(gpulease: Gpulease, app: FakeApp) -> None:
    assert gpulease("driver").code == 0
    assert app.called("drive") == [False]
    assert "driver" not in gpulease("--help").out
