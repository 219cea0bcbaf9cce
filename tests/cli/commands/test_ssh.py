from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.conftest import Gpulease
from tests.cli.terminal import PROGRAM, ROOT


def test_json_prints_the_command_line(gpulease: Gpulease) -> None:
    answer = gpulease("ssh", "last", "--json").json()

    assert answer == {"schema": 1, "argv": ["echo", "ssh to", "runid123"]}


def test_the_command_becomes_the_ssh_client(home: object) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "ssh", "last", "--", "nvidia-smi", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "ssh to runid123 nvidia-smi --json\n"
