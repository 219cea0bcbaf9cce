from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from infra.demo import LastRun, Rented, bare_environment, compare, has_learned, read_exports
from tests.conventions.source import PROJECT

RECEIPT = LastRun(
    ended=True,
    artifacts_dir="",
    cost_usd=Decimal("0.03"),
    upper_usd=Decimal("0.035"),
    tick_usd=Decimal("0.01"),
    proven=True,
    accuracy=0.93,
    majority=0.35,
)
RUNS = """\
import sys
from pathlib import Path
from infra import demo
sys.exit(demo.main(Path(sys.argv[1]), has_sshd=sys.argv[2] == "True"))
"""
STARTS = """\
import os
from infra import demo
assert not demo._has_sshd()
demo.FOLDER.mkdir()
base = demo.bare_environment(os.environ)
with demo.simulated_cloud(demo.FOLDER, base, machines="memory") as cloud:
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
        ([Rented("m1", "api", Decimal("0.02")), Rented("m2", "api", Decimal("0.01"))], True),
        ([Rented("m1", "self", Decimal("0.03"))], False),
    ],
)
def test_the_receipt_is_held_against_the_clouds_own_records(
    rented: list[Rented], agrees: bool
) -> None:
    assert compare(RECEIPT, rented) is agrees
    assert not compare(replace(RECEIPT, proven=False), rented)


@pytest.mark.parametrize(
    ("accuracy", "is_enough"), [(0.93, True), (0.65, True), (0.64, False), (0.35, False)]
)
def test_a_model_that_learned_little_is_a_failed_demo(accuracy: float, is_enough: bool) -> None:
    assert has_learned(replace(RECEIPT, accuracy=accuracy)) is is_enough


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("has_sshd", [True, False], ids=["with sshd", "without sshd"])
def test_the_demo_does_what_it_promises_with_an_sshd_and_without(
    has_sshd: bool, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path / "demo"), str(has_sshd)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = ended.stdout
    assert ("no sshd here, so the job runs on this computer" in said) is not has_sshd
    assert ("ended by api" in said) is has_sshd
    model = tmp_path / "demo" / "home" / "runs"
    assert list(model.glob("*/artifacts/model/model.safetensors"))
