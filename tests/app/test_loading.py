from __future__ import annotations

import subprocess
import sys

from orchestrator.app.loading import Loading
from orchestrator.clock import FakeClock

LATER = """
import sys
from orchestrator.app import App
from orchestrator.app.loading import load_everything
load_everything()
before = set(sys.modules)
from pathlib import Path
import orchestrator.remote.ssh, orchestrator.artifacts.s3, orchestrator.notify.webhook
from orchestrator.remote.render import agent_zipapp, boot_guard
import httpx, tenacity, keyring, fabric, boto3, huggingface_hub
Path.read_text = Path.read_bytes = None  # no file of the package is read again
agent_zipapp()
boot_guard("gl1-x", 1800000000, 1800003600, 3600)
print(sorted(set(sys.modules) - before))
"""


def test_a_driver_has_all_that_it_uses_before_the_files_are_replaced() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LATER], check=True, capture_output=True, text=True
    ).stdout

    assert said == "[]\n"


def test_it_is_loaded_once_the_first_runs_are_under_way() -> None:
    clock = FakeClock()
    loading = Loading(clock)

    assert 0 < loading.go_on().seconds < 60
    clock.advance(60)

    assert loading.go_on().seconds > 1e9
    assert not loading.go_on().stays
