from __future__ import annotations

import pytest

from tests.cli.conftest import Gpulease
from tests.cli.fake_app import FakeApp


def test_it_drives_and_is_not_on_the_first_page(gpulease: Gpulease, app: FakeApp) -> None:
    assert gpulease("driver").code == 0
    assert gpulease("driver", "--stay").code == 0
    assert app.called("drive") == [False, True]
    assert "driver" not in gpulease("--help").out


def test_the_service_file_is_shown_and_nothing_is_installed(
    gpulease: Gpulease, app: FakeApp
) -> None:
    shown = gpulease("driver", "install", "--print")

    assert shown.out == "[Unit]\nA=1\n"
    assert "keyring" in shown.err
    assert app.called("install_driver") == []


def test_a_service_is_installed_and_what_is_left_to_do_is_said(gpulease: Gpulease) -> None:
    ended = gpulease("driver", "install")

    assert ended.code == 0
    assert "installed: /home/ada/a.service" in ended.out
    assert "it ends with your last login" in ended.out and "keyring" in ended.out


def test_a_service_that_is_not_there_is_said(gpulease: Gpulease) -> None:
    assert "is no service" in gpulease("driver", "uninstall").out
    assert gpulease("driver", "uninstall", "--json").json() == {"schema": 1, "path": None}


@pytest.mark.parametrize("words", ["driver --print", "driver install --stay", "driver dance"])
def test_what_does_not_go_together_is_refused(gpulease: Gpulease, words: str) -> None:
    assert gpulease(*words.split()).code == 2
