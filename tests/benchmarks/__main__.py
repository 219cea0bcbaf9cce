"""Runs every benchmark of this folder and prints one markdown table.

`python -m tests.benchmarks [NAME…]` runs those whose file name holds a NAME. The exit code is 1
when a figure is over its limit.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from tests.benchmarks.ratio import HEADER


def main(wanted: list[str]) -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    print(HEADER)
    over = []
    for name in names:
        if wanted and not any(word in name for word in wanted):
            continue
        for row in import_module(f"tests.benchmarks.{name}").rows():
            print(row.markdown(), flush=True)
            over += [] if row.good else [row.what]
    if over:
        print(f"\nover the limit: {', '.join(over)}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
