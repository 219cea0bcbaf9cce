from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.lifecycle.boot_time import boot_deadline_s, slowest_boot_s
from tests.lifecycle.clouds import GUARDED
from tests.runs.samples import offer

OFFER = offer()


@pytest.mark.parametrize(
    ("mbit_s", "limit_s"), [(None, GUARDED.boot_deadline_s), (0.0, GUARDED.boot_deadline_s)]
)
def test_an_unknown_line_has_the_providers_own_deadline(
    mbit_s: float | None, limit_s: float
) -> None:
    assert boot_deadline_s(replace(OFFER, download_mbit_s=mbit_s), GUARDED) == limit_s


def test_the_boot_deadline_is_three_pulls_between_eight_and_forty_minutes() -> None:
    def limit_s(mbit_s: float) -> float:
        return boot_deadline_s(replace(OFFER, download_mbit_s=mbit_s), GUARDED)

    assert limit_s(100) == 2400
    assert limit_s(1000) == pytest.approx(300 + 3 * 25 * 2**30 * 8 / 1e9)
    assert limit_s(100_000) == 480


def test_the_high_end_of_a_boot_is_the_providers_or_the_pull_of_a_slow_line() -> None:
    def slowest_s(mbit_s: float | None) -> float:
        return slowest_boot_s(replace(OFFER, download_mbit_s=mbit_s), GUARDED)

    usual_s = GUARDED.boot_s[1]
    assert slowest_s(None) == slowest_s(100_000) == usual_s
    assert slowest_s(200) == pytest.approx(25 * 2**30 * 8 / 200e6)
    assert slowest_s(1) == 2400  # its boot deadline: later it is given back
