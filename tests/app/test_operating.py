from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.app.operating import install, run_command, service_file, uninstall
from orchestrator.errors import HomeError
from orchestrator.lifecycle.service import driver_service

SERVICE = driver_service("h0m3id", "/home/ada/home", "/usr/bin/python3", {"PATH": "/usr/bin"})


class Manager:
    """A service manager that notes what it is asked, and refuses what holds a word."""

    def __init__(self, refuses: str = "nothing") -> None:
        self.asked: list[str] = []
        self._refuses = refuses

    def run(self, command: Sequence[str]) -> str:
        self.asked.append(" ".join(command))
        return "Failed to connect to bus" if self._refuses in command else ""


def test_linux_gets_a_user_unit_that_outlives_the_login(tmp_path: Path) -> None:
    file, manager = service_file(SERVICE, tmp_path, "linux"), Manager()

    assert install(file, manager.run) == []

    assert file.path == tmp_path / ".config/systemd/user/gpulease-driver-h0m3id.service"
    assert file.path.read_text() == file.text
    assert manager.asked[:2] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now gpulease-driver-h0m3id.service",
    ]
    assert manager.asked[2].startswith("loginctl enable-linger ")


def test_macos_gets_a_launch_agent(tmp_path: Path) -> None:
    file, manager = service_file(SERVICE, tmp_path, "darwin"), Manager()

    assert install(file, manager.run) == []
    assert file.path == tmp_path / "Library/LaunchAgents/gpulease.driver.h0m3id.plist"
    assert manager.asked[0].startswith("launchctl bootstrap gui/")
    assert uninstall(file, manager.run)
    assert manager.asked[1].startswith("launchctl bootout gui/")


def test_without_a_right_to_linger_the_command_for_it_is_said(tmp_path: Path) -> None:
    file = service_file(SERVICE, tmp_path, "linux")

    (left,) = install(file, Manager("loginctl").run)

    assert "ends with your last login" in left and "sudo loginctl enable-linger" in left
    assert file.path.exists()


def test_without_a_service_manager_no_file_is_left_and_the_other_way_is_said(
    tmp_path: Path,
) -> None:
    file = service_file(SERVICE, tmp_path, "linux")

    with pytest.raises(HomeError, match="Failed to connect to bus") as caught:
        install(file, Manager("systemctl").run)

    assert "driver --stay" in caught.value.hint
    assert list(file.path.parent.iterdir()) == []


def test_a_service_is_removed_even_where_its_manager_is_gone(tmp_path: Path) -> None:
    file = service_file(SERVICE, tmp_path, "linux")
    install(file, Manager().run)

    assert uninstall(file, Manager("systemctl").run)
    assert not uninstall(file, Manager().run)
    assert not file.path.exists()


def test_a_command_that_fails_says_why() -> None:
    assert run_command([sys.executable, "-c", "pass"]) == ""
    assert run_command([sys.executable, "-c", "raise SystemExit('no bus')"]) == "no bus"
    assert run_command(["/no/such/program"]) == "there is no /no/such/program"
