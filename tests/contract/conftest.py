from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.local_bench import LocalBench
from tests.contract.runpod_bench import RunPodBench


@pytest.fixture
def runpod(tmp_path: Path) -> Iterator[RunPodBench]:
    with RunPodBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def local(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)
