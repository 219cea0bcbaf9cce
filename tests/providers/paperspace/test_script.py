"""The startup script, as text and as it runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.providers.paperspace.script import LIMIT_BYTES, startup_script
from tests.providers.paperspace.samples import HOST_PRIVATE, HOST_PUBLIC, PUBLIC_KEY

SCRIPT = startup_script("paperspace", PUBLIC_KEY, HOST_PRIVATE, HOST_PUBLIC)


def stub(folder: Path, name: str, text: str = 'echo "${0##*/} $*" >>"$LOG"') -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(script: str, tmp_path: Path) -> list[str]:
    """Run it with every path below `tmp_path`; what it called."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir(exist_ok=True)
    (tmp_path / "ssh").mkdir(exist_ok=True)
    for name in ("systemctl", "ufw", "chown"):
        stub(bin_folder, name)
    stub(bin_folder, "getent", f"echo 'paperspace:x:1000:1000::{tmp_path / 'home'}:/bin/bash'")
    here = script.replace("/etc/ssh/", f"{tmp_path}/ssh/").replace("/etc/apt/", f"{tmp_path}/apt/")
    env = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    subprocess.run(["/bin/sh", "-c", here], env=env, check=True, capture_output=True)
    return (tmp_path / "log").read_text().splitlines()


def test_it_is_posix_sh_without_comments_and_far_below_any_limit() -> None:
    assert SCRIPT.startswith("#!/bin/sh\numask 077\n")
    assert "@" not in SCRIPT.replace(PUBLIC_KEY, "")
    assert len(SCRIPT.encode()) < LIMIT_BYTES / 8
    assert not [line for line in SCRIPT.splitlines()[1:] if line.startswith("#")]


def test_it_lets_in_the_runs_key_alone_however_often_it_runs(tmp_path: Path) -> None:
    for _ in range(2):
        run(SCRIPT, tmp_path)

    keys = tmp_path / "home/.ssh/authorized_keys"
    assert keys.read_text() == f"{PUBLIC_KEY}\n"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_it_puts_in_the_host_key_that_was_given_behind_the_logins_key(tmp_path: Path) -> None:
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh/ssh_host_rsa_key").write_text("another")
    called = run(SCRIPT, tmp_path)

    key = tmp_path / "ssh/ssh_host_ed25519_key"
    assert key.read_text() == HOST_PRIVATE
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.with_suffix(".pub").read_text() == f"{HOST_PUBLIC}\n"
    assert not (tmp_path / "ssh/ssh_host_rsa_key").exists()
    assert called[-1] == "systemctl restart ssh"


def test_every_port_but_ssh_is_shut_because_the_provider_has_no_firewall(tmp_path: Path) -> None:
    called = run(SCRIPT, tmp_path)

    assert called.index("ufw allow 22/tcp") < called.index("ufw --force enable")


def test_a_broken_package_source_of_the_image_is_removed(tmp_path: Path) -> None:
    source = tmp_path / "apt/sources.list.d/paperspace.list"
    source.parent.mkdir(parents=True)
    source.write_text("deb broken")

    run(SCRIPT, tmp_path)

    assert not source.exists()


def test_without_a_host_key_the_machine_keeps_its_own(tmp_path: Path) -> None:
    called = run(startup_script("paperspace", PUBLIC_KEY), tmp_path)

    assert not any(call.startswith("systemctl") for call in called)


@pytest.mark.parametrize(
    "arguments",
    [
        ("paperspace", "ssh-ed25519 AAAA'; reboot; '"),
        ("paper'space", PUBLIC_KEY),
        ("paperspace", PUBLIC_KEY, "EOF\nreboot;\n", HOST_PUBLIC),
        ("paperspace", f"{PUBLIC_KEY}\nreboot"),
    ],
)
def test_nothing_of_a_key_is_ever_run(arguments: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="none that a shell text should hold"):
        startup_script(*arguments)
