from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.lifecycle.service import driver_service, launchd_plist, systemd_unit
from tests.conventions.source import PROJECT

GOLDEN = PROJECT / "tests" / "golden" / "service"
ENVIRONMENT = {
    "PATH": "/opt/my tools/bin:/usr/bin",
    "GPULEASE_CONFIG": '/home/ada/100% "mine".toml',
    "GPULEASE_RUNPOD_URL": "https://example.org/$x",
    "GPULEASE_DATABASE_URL": "postgresql://ada:secret-of-the-store@db/gpulease",
    "RUNPOD_API_KEY": "secret-of-the-account",
    "GPULEASE_WEBHOOK_SECRET": "whsec_secret",
    "LANG": "C",
}
SERVICE = driver_service("h0m3id", "/home/ada/my $home", "/usr/bin/python3", ENVIRONMENT)


@pytest.mark.parametrize(
    ("name", "text"),
    [("driver.service", systemd_unit(SERVICE)), ("driver.plist", launchd_plist(SERVICE))],
)
def test_the_file_reads_like_this_and_holds_no_secret(name: str, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(text)

    assert text == (GOLDEN / name).read_text()
    assert "secret" not in text


def test_launchd_reads_back_the_command_and_the_environment() -> None:
    read = plistlib.loads(launchd_plist(SERVICE).encode())

    assert tuple(read["ProgramArguments"]) == SERVICE.command
    assert read["EnvironmentVariables"] == dict(SERVICE.environment)
    assert read["KeepAlive"] is True and read["Label"] == "gpulease.driver.h0m3id"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    service = driver_service("h0m3id", str(tmp_path / "my $home 100%"), sys.executable, ENVIRONMENT)
    path = tmp_path / service.unit_name
    path.write_text(systemd_unit(service))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )

    about_it = [line for line in verified.stderr.splitlines() if service.unit_name in line]
    assert (verified.returncode, about_it) == (0, []), verified.stderr
