from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.lifecycle.homeline import HOME_BYTES_PER_S, collect_s, home_bytes_per_s
from orchestrator.lifecycle.material import prepare
from orchestrator.runs.lease import Lease
from tests.lifecycle.jobs import own_code
from tests.runs.samples import NOW_S, lease

MIB = 1 << 20


def pulled(mib: float, seconds: float, *, at: int = 0, bills: bool = True) -> Lease:
    """A machine whose results came home; `at`: the later, the higher."""
    made = lease(f"label-{at}", sent_s=NOW_S + at, bills=bills)
    return made.with_pulled(int(mib * MIB), seconds)


def test_collecting_is_given_time_for_a_slow_line() -> None:
    assert collect_s(0) == 30.0
    assert collect_s(2_000_000_000) == 1000.0
    assert collect_s(2_000_000_000, 1e6) == 2000.0


def test_the_slowest_of_the_last_five_counts() -> None:
    long_ago = pulled(100, 400, at=0)
    lately = [pulled(100, seconds, at=at) for at, seconds in enumerate((50, 80, 20, 40, 60), 1)]

    assert home_bytes_per_s([*lately, long_ago]) == pytest.approx(100 * MIB / 80)
    assert home_bytes_per_s([long_ago, lately[0]]) == pytest.approx(100 * MIB / 400)


@pytest.mark.parametrize(
    "one",
    [lease(), pulled(1, 100), pulled(100, 1000, bills=False), pulled(100, 0)],
    ids=["nothing came", "little came", "from a computer of one's own", "nobody looked"],
)
def test_what_tells_nothing_of_the_line_leaves_it_unmeasured(one: Lease) -> None:
    assert home_bytes_per_s([one]) == HOME_BYTES_PER_S


def test_no_measure_is_believed_beyond_what_a_line_is() -> None:
    assert home_bytes_per_s([pulled(100, 0.1)]) == 12.5e6
    assert home_bytes_per_s([pulled(100, 1e5)]) == 2e5


def test_a_job_keeps_the_time_that_its_results_need_on_the_measured_line(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    settings = {"cache_dir": tmp_path, "endpoint": "", "token": None}

    slow = prepare(job, **settings, home_bytes_per_s=2e5)  # type: ignore[arg-type]
    fast = prepare(job, **settings)  # type: ignore[arg-type]

    assert slow.launch.collect_s == pytest.approx(10 * fast.launch.collect_s)
    assert slow.home_bytes_per_s == 2e5
