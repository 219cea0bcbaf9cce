"""`make setup` where sshd or python3-venv is missing: installed by root or through sudo, else the
line to run."""

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
case "$*" in
    install*openssh-server) printf '#!/bin/sh\\n' >{bin}/sshd; chmod 755 {bin}/sshd ;;
    install*-venv) : >{bin}/has-venv ;;
esac
"""
SUDO = """\
#!/bin/sh
echo "sudo $*" >>{log}
[ "$1" = -n ] && shift
[ "$1" = true ] || "$@"
"""
VENV = "python3.13-venv"
# An interpreter as Debian has it without python3-venv; what it makes only writes down its calls.
PYTHON = """\
#!/bin/sh
case "$*" in
    "-c import ensurepip, venv") [ -e {bin}/has-venv ] ;;
    "-m venv --clear .venv")
        echo "python $*" >>{log}
        mkdir -p .venv/bin
        for name in python uv; do
            printf '#!/bin/sh\\necho ".venv/%s $*" >>{log}\\n' $name >.venv/bin/$name
            chmod 755 .venv/bin/$name
        done ;;
    *"sys.exit(sys.version_info <"*) ;;
    *"print("*"-venv"*) echo {venv} ;;
    *) exit 2 ;;
esac
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that anybody may enter, with one for programs that anybody may write to."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "bin").mkdir()
        (Path(folder) / "bin").chmod(0o777)
        (Path(folder) / "checkout").mkdir()
        (Path(folder) / "checkout").chmod(0o777)
        yield Path(folder)


def set_up(
    place: Path, part: str = "sshd", *, programs: tuple[str, ...], as_root: bool
) -> tuple[int, str, str]:
    """Run a part of setup where its program is missing; how it ended, what it said and did."""
    log, folder = place / "log", place / "bin"
    log.touch()
    log.chmod(0o666)
    for name in ("sh", "id", "env", "mkdir", "chmod", "python", "apt-get", "sudo"):
        stand_in = {"apt-get": APT, "sudo": SUDO, "python": PYTHON}.get(name)
        if stand_in is None:
            (folder / name).symlink_to(f"/usr/bin/{name}")
        elif name in (*programs, "python"):
            (folder / name).write_text(stand_in.format(log=log, bin=folder, venv=VENV))
            (folder / name).chmod(0o755)
    script = (PROJECT / "infra/setup.sh").read_text()
    (place / "setup.sh").write_text(script)
    hidden = f"[ ! -e {SSHD} ] || mount --bind /dev/null {SSHD}"
    user = "" if as_root else NOBODY
    run = f"exec {user} env -i PATH={folder} sh {place}/setup.sh {part}"
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{hidden} && {run}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=place / "checkout",
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no mounts here")
    return ended.returncode, ended.stdout + ended.stderr, log.read_text()


INSTALLS = "apt-get install -y -qq --no-install-recommends openssh-server\n"


def test_root_installs_it(place: Path) -> None:
    ended, said, done = set_up(place, programs=("apt-get",), as_root=True)

    assert ended == 0, said
    assert "installing openssh-server by apt" in said
    assert done.endswith(INSTALLS)


def test_who_may_use_sudo_installs_it_through_that(place: Path) -> None:
    ended, said, done = set_up(place, programs=("apt-get", "sudo"), as_root=False)

    assert ended == 0, said
    assert "installing openssh-server by apt" in said
    assert "sudo -n true\n" in done
    assert done.endswith(INSTALLS)


@pytest.mark.parametrize("programs", [("apt-get",), ()])
def test_who_may_install_nothing_is_told_the_line_to_run(
    place: Path, programs: tuple[str, ...]
) -> None:
    ended, said, done = set_up(place, programs=programs, as_root=False)

    assert ended == 0, said
    assert "sudo apt-get install openssh-server" in said
    assert "--provider local" in said
    assert done == ""


def test_shells_are_installed_together_where_that_may_be(place: Path) -> None:
    ended, said, done = set_up(place, "shells", programs=("apt-get",), as_root=True)

    assert (ended, said) == (0, "setup: installing zsh fish by apt\n")
    assert done.endswith(INSTALLS.replace("openssh-server", "zsh fish"))


def test_where_a_shell_cannot_be_had_nothing_fails(place: Path) -> None:
    (place / "bin/zsh").symlink_to("/usr/bin/sh")

    ended, said, done = set_up(place, "shells", programs=("apt-get",), as_root=False)

    assert (ended, done) == (0, "")
    assert said == "setup: no fish here: completion is not tried in it\n"


ENVIRONMENT = "environment python"
MADE = """\
python -m venv --clear .venv
.venv/python -m pip install -qq --disable-pip-version-check uv>=0.9.17
.venv/python infra/pip_to_uv.py
"""


@pytest.mark.parametrize(
    ("programs", "as_root"), [(("apt-get",), True), (("apt-get", "sudo"), False)]
)
def test_who_may_install_pythons_venv_has_it_installed_and_the_environment_made(
    place: Path, programs: tuple[str, ...], as_root: bool
) -> None:
    ended, said, done = set_up(place, ENVIRONMENT, programs=programs, as_root=as_root)

    assert ended == 0, said
    assert said == f"setup: installing {VENV} by apt\nsetup: .venv is ready\n"
    assert ("sudo -n true\n" in done) is not as_root
    installed, _, made = done.partition("python -m venv")
    assert installed.endswith(INSTALLS.replace("openssh-server", VENV))
    assert f"python -m venv{made}".startswith(MADE)
    assert "--editable . --group dev" in made


@pytest.mark.parametrize("programs", [("apt-get",), ()])
def test_who_may_not_install_pythons_venv_is_told_the_line_to_run_and_nothing_is_made(
    place: Path, programs: tuple[str, ...]
) -> None:
    ended, said, done = set_up(place, ENVIRONMENT, programs=programs, as_root=False)

    assert ended == 1
    assert said == f"setup: run this, then make setup again: sudo apt-get install {VENV}\n"
    assert done == ""
    assert not (place / "checkout/.venv").exists()


def test_where_apt_fails_the_line_to_run_is_told_too(place: Path) -> None:
    """A mirror that is down, say."""
    (place / "bin/apt-get").write_text("#!/bin/sh\nexit 100\n")
    (place / "bin/apt-get").chmod(0o755)

    ended, said, _ = set_up(place, ENVIRONMENT, programs=(), as_root=True)

    assert ended == 1
    assert said.endswith(f"make setup again: sudo apt-get install {VENV}\n")
