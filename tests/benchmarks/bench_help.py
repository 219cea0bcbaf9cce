"""What `gpulease --help` costs, beside a Python that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.ratio import Row, compare, cpu_ms

LIMIT = 8


def rows() -> Iterator[Row]:
    program = str(Path(sys.executable).with_name("gpulease"))
    ours, bare = compare(
        lambda: cpu_ms([program, "--help"]), lambda: cpu_ms([sys.executable, "-c", "pass"])
    )
    yield Row("CPU of `gpulease --help`", ours, bare, "ms", LIMIT, "`python -c pass`")
