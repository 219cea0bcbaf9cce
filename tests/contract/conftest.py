from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.local_bench import LocalBench


@pytest.fixture
def local(tmp_path: Path) -> LocalBench:
    return LocalBench(tmp_path)
