"""`make setup` where sshd is missing: installed by root or through sudo, else the line to run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conventions.source import PROJECT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="hides this computer's sshd by a mount"),
]
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
SSHD = "/usr/sbin/sshd"
APT = """\
#!/bin/sh
echo "apt-get $*" >>{log}
case "$1" in install) printf '#!/bin/sh\\n' >{bin}/sshd; chmod 755 {bin}/sshd ;; esac
"""
SUDO = """\
#!/bin/sh
echo "sudo $*" >>{log}
[ "$1" = -n ] && shift
[ "$1" = true ] || "$@"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that anybody may enter, with one for programs that anybody may write to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "bin").mkdir()
        (Path(folder) / "bin").chmod(0o777)
        yield Path(folder)


def set_up(place: Path, *, programs: tuple[str, ...], as_root: bool) -> tuple[str, str]:
    """Run setup's part for sshd where there is none; what it said, and what it had done."""
    log, folder = place / "log", place / "bin"
    log.touch()
    log.chmod(0o666)
    for name in ("sh", "id", "env", "apt-get", "sudo"):
        stand_in = {"apt-get": APT, "sudo": SUDO}.get(name)
        if stand_in is None:
            (folder / name).symlink_to(f"/usr/bin/{name}")
        elif name in programs:
            (folder / name).write_text(stand_in.format(log=log, bin=folder))
            (folder / name).chmod(0o755)
    script = (PROJECT / "infra/setup.sh").read_text()
    (place / "setup.sh").write_text(script)
    hidden = f"[ ! -e {SSHD} ] || mount --bind /dev/null {SSHD}"
    user = "" if as_root else NOBODY
    run = f"exec {user} env -i PATH={folder} sh {place}/setup.sh sshd"
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{hidden} && {run}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no mounts here")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr, log.read_text()


INSTALLS = "apt-get install -y -qq --no-install-recommends openssh-server\n"


def test_root_installs_it(place: Path) -> None:
    said, done = set_up(place, programs=("apt-get",), as_root=True)

    assert "installing openssh-server by apt" in said
    assert done.endswith(INSTALLS)


def test_who_may_use_sudo_installs_it_through_that(place: Path) -> None:
    said, done = set_up(place, programs=("apt-get", "sudo"), as_root=False)

    assert "installing openssh-server by apt" in said
    assert "sudo -n true\n" in done
    assert done.endswith(INSTALLS)


@pytest.mark.parametrize("programs", [("apt-get",), ()])
def test_who_may_install_nothing_is_told_the_line_to_run(
    place: Path, programs: tuple[str, ...]
) -> None:
    said, done = set_up(place, programs=programs, as_root=False)

    assert "sudo apt-get install openssh-server" in said
    assert "--provider local" in said
    assert done == ""
