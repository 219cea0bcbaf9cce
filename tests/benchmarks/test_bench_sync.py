from __future__ import annotations

from tests.benchmarks.bench_sync import without_rsync


def test_without_rsync_what_it_is_the_yardstick_of_is_a_row_that_says_so() -> None:
    rows = [row.markdown() for row in without_rsync()]

    assert all(" | not measured: rsync is not installed | | | |" in row for row in rows)
    assert [row.split()[1] for row in rows] == ["sync", "recording"]
    assert all(row.good for row in without_rsync())
