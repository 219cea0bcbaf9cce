"""The driver as a service of this user: installed, removed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.app.base import Verbs
from orchestrator.errors import HomeError
from orchestrator.lifecycle.service import Service, driver_service, launchd_plist, systemd_unit

_PATIENCE_S = 60.0
Runs = Callable[[Sequence[str]], str]  # what a command said against it; "" when it worked


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file, and the service manager's own commands that take it up, and let go of it."""

    path: Path
    text: str
    begin: tuple[tuple[str, ...], ...]
    end: tuple[tuple[str, ...], ...]
    lasting: tuple[str, ...] = ()  # what keeps it alive without a login; may need a right


def service_file(service: Service, user_home: Path, platform: str) -> ServiceFile:
    """Where a service of this user lies on this kind of computer."""
    if platform == "darwin":
        path = user_home / "Library" / "LaunchAgents" / f"{service.label}.plist"
        domain = f"gui/{os.getuid()}"
        return ServiceFile(
            path,
            launchd_plist(service),
            (("launchctl", "bootstrap", domain, str(path)),),
            (("launchctl", "bootout", f"{domain}/{service.label}"),),
        )
    systemctl = ("systemctl", "--user")
    return ServiceFile(
        user_home / ".config" / "systemd" / "user" / service.unit_name,
        systemd_unit(service),
        ((*systemctl, "daemon-reload"), (*systemctl, "enable", "--now", service.unit_name)),
        ((*systemctl, "disable", "--now", service.unit_name),),
        ("loginctl", "enable-linger", getpass.getuser()),
    )


def install(file: ServiceFile, runs: Runs) -> list[str]:
    """Write the file and take it up; gives what a person still has to do.

    Raises: HomeError where this user has no service manager; then no file is left.
    """
    file.path.parent.mkdir(parents=True, exist_ok=True)
    part = file.path.with_name(f".{file.path.name}.part")
    part.write_text(file.text)
    part.replace(file.path)
    for command in file.begin:
        if problem := runs(command):
            file.path.unlink()
            raise HomeError(
                f"{' '.join(command)} does not work here: {problem}",
                hint="gpulease driver --stay, under whatever keeps programs alive on this computer",
            )
    if file.lasting and (problem := runs(file.lasting)):
        return [f"it ends with your last login ({problem}): sudo {' '.join(file.lasting)}"]
    return []


def uninstall(file: ServiceFile, runs: Runs) -> bool:
    """Let go of the service and remove its file; false when there is none."""
    if not file.path.exists():
        return False
    for command in file.end:
        runs(command)  # it may not be running; the file goes either way
    file.path.unlink()
    return True


def run_command(command: Sequence[str]) -> str:
    """Run one; what it said when it failed."""
    if shutil.which(command[0]) is None:
        return f"there is no {command[0]}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        return "it does not answer"
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


class Operating(Verbs):
    """What is asked of the driver itself."""

    def service_file(self) -> ServiceFile:
        """The file by which this user's service manager keeps this home's driver alive."""
        service = driver_service(
            self._home.id, str(self._home.folder.resolve()), sys.executable, os.environ
        )
        return service_file(service, Path.home(), sys.platform)

    def install_driver(self) -> tuple[Path, list[str]]:
        """Keep the driver alive by a service: its file, and what is still to be done."""
        self._home.check_writable()
        file = self.service_file()
        return file.path, install(file, run_command)

    def uninstall_driver(self) -> Path | None:
        """Remove that service; open runs go on with the next command's driver."""
        file = self.service_file()
        return file.path if uninstall(file, run_command) else None
