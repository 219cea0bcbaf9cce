from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from infra.demo import LastRun, Rented, bare_environment, compare, read_exports
from tests.conventions.source import PROJECT

STARTS = """\
import os
from infra import demo
assert not demo._has_sshd()
demo.FOLDER.mkdir()
with demo.simulated_cloud(demo.bare_environment(os.environ), machines="memory") as cloud:
    print(cloud["HF_ENDPOINT"])
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="hides this computer's sshd by a mount")
def test_without_an_sshd_the_demos_hub_is_there_all_the_same(tmp_path: Path) -> None:
    sshd = "/usr/sbin/sshd"
    hide = f'[ ! -e {sshd} ] || mount --bind /dev/null {sshd} || exit 77; exec "$@"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-c", STARTS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode == 77 or "unshare" in ended.stderr:
        pytest.skip("no mounts here")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("http://127.0.0.1:")


def test_the_demo_cannot_reach_a_real_account() -> None:
    mine = {
        "PATH": os.defpath,
        "RUNPOD_API_KEY": "real",
        "HF_TOKEN": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_ACCESS_KEY_ID": "real",
        "GPULEASE_HOME": "/mine",
        "GPULEASE_RUNPOD_URL": "https://real",
    }

    assert set(bare_environment(mine)) == {"PATH", "PYTHON_KEYRING_BACKEND"}


def test_the_clouds_file_of_exports_is_read_as_a_shell_would() -> None:
    text = "# made by simcloud\nexport A='it'\\''s here'\nexport B=http://127.0.0.1:1/v1\n"

    assert read_exports(text) == {"A": "it's here", "B": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("rented", "agrees"),
    [
        ([Rented("m1", "api", Decimal("0.031"))], True),
        ([Rented("m1", "api", Decimal("0.036"))], False),
        ([Rented("m1", "api", Decimal("0.05"))], False),
        ([Rented("m1", None, Decimal("0.03"))], False),
        ([Rented("m1", "api", Decimal("0.02")), Rented("m2", "self", Decimal("0.01"))], True),
    ],
)
def test_the_receipt_is_held_against_the_clouds_own_records(
    rented: list[Rented], agrees: bool
) -> None:
    receipt = LastRun(
        ended=True,
        artifacts_dir="",
        cost_usd=Decimal("0.03"),
        upper_usd=Decimal("0.035"),
        tick_usd=Decimal("0.01"),
        proven=True,
    )

    assert compare(receipt, rented) is agrees
    assert not compare(replace(receipt, proven=False), rented)
