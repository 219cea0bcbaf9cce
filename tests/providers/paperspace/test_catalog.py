from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.offers.gpus import card
from orchestrator.providers.paperspace.catalog import (
    KINDS,
    REGIONS,
    disk_gb,
    disk_usd_per_month,
    region_code,
    sold_gb,
)


@pytest.mark.parametrize("name", KINDS)
def test_every_type_has_a_card_a_price_and_a_place(name: str) -> None:
    kind = KINDS[name]
    known = card(kind.gpu)

    assert known is not None
    assert (known.memory_gib, known.compute_capability) == (
        kind.gpu_memory_gib,
        kind.compute_capability,
    )
    assert kind.usd_per_hour > 0
    assert set(kind.regions) <= set(REGIONS)


def test_of_two_prices_that_are_told_the_dearer_counts() -> None:
    assert (KINDS["H100"].usd_per_hour, KINDS["A100-80G"].usd_per_hour) == (
        Decimal("5.95"),
        Decimal("3.18"),
    )


@pytest.mark.parametrize("code", REGIONS)
def test_a_region_is_the_same_as_code_and_as_label(code: str) -> None:
    assert {region_code(word) for word in (code, code.upper(), REGIONS[code])} == {code}


def test_a_disk_is_as_large_as_one_that_is_sold_and_never_reckoned_too_cheap() -> None:
    assert [disk_gb(size) for size in (1, 50, 51, 300, 2000)] == [50, 50, 100, 500, 2000]
    assert [disk_usd_per_month(size) for size in (50, 100, 250)] == [5, 7, 10]
    assert disk_usd_per_month(2000) == 200
    assert [sold_gb(size) for size in (49, 100, 107)] == [0, 100, 100]
