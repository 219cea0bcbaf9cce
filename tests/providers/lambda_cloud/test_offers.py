from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.offers.rank import select
from orchestrator.providers.lambda_cloud import offers
from orchestrator.spec.resources import Need
from tests.providers.lambda_cloud.samples import REGION, image, types

IMAGES = {"data": [image()]}


def test_an_offer_is_a_type_in_a_region_with_its_whole_price() -> None:
    (offer,) = offers.to_offers(types(), IMAGES, Need())

    assert (offer.id, offer.provider, offer.trust) == ("gpu_1x_a10 us-east-1", "lambda", "secure")
    assert (offer.gpu, offer.gpu_count, offer.gpu_memory_gib) == ("A10", 1, 24)
    assert offer.price.usd_per_hour == Decimal("1.29")
    assert (offer.region, offer.ram_gib, offer.cuda) == ("us-east-1", 200, "13.0")
    assert offer.architecture == "x86_64"


def test_a_sold_out_type_is_no_offer() -> None:
    table = types()
    table["data"]["gpu_1x_a10"]["regions_with_capacity_available"] = []

    assert offers.to_offers(table, IMAGES, Need()) == []


@pytest.mark.parametrize(
    ("name", "told", "architecture"),
    [
        ("gpu_1x_gh200", {}, "arm64"),
        ("gpu_1x_a10", {}, "x86_64"),
        ("gpu_1x_new", {"architecture": "arm64"}, "arm64"),
        ("gpu_1x_gh200", {"architecture": "a word of tomorrow"}, "arm64"),
    ],
)
def test_the_architecture_is_known_where_the_api_does_not_tell_it(
    name: str, told: dict[str, Any], architecture: str
) -> None:
    (offer,) = offers.to_offers(types(name=name, **told), IMAGES, Need())

    assert offer.architecture == architecture


def test_a_gh200_takes_an_arm_image_and_no_other() -> None:
    arm = image(architecture="arm64", family="lambda-stack-22-04")
    (offer,) = offers.to_offers(types(name="gpu_1x_gh200"), {"data": [image(), arm]}, Need())

    assert offer.details["family"] == "lambda-stack-22-04"


def test_an_older_image_has_an_older_cuda_which_may_be_too_old() -> None:
    old = {"data": [image(family="lambda-stack-22-04")]}
    need = Need(cuda="13.0")

    chosen = select(need, offers.to_offers(types(), old, need), lambda _: Decimal(1))

    assert chosen.candidates == []
    assert "CUDA 12.8, 13.0 needed" in chosen.refused[0][1]


def test_the_newest_image_of_the_region_is_taken() -> None:
    rows = [
        image(family="gpu-base-22-04"),
        image(family="lambda-stack-22-04"),
        image(family="lambda-stack-24-04", region={**REGION, "name": "us-west-1"}),
    ]
    (offer,) = offers.to_offers(types(), {"data": rows}, Need())

    assert offer.details["family"] == "lambda-stack-22-04"


def test_a_computer_without_gpu_is_offered_where_one_will_do() -> None:
    table = types(
        name="cpu_4x_general",
        gpu_description="N/A",
        price_cents_per_hour=20,
        specs={"vcpus": 4, "memory_gib": 16, "storage_gib": 512, "gpus": 0},
    )

    assert offers.to_offers(table, IMAGES, Need()) == []
    (offer,) = offers.to_offers(table, IMAGES, Need(allow_cpu=True))
    assert (offer.gpu, offer.gpu_count) == ("", 0)


@pytest.mark.parametrize("cents", [0, -1, None, "129", 1.5])
def test_a_type_whose_price_is_not_told_is_no_offer(cents: object) -> None:
    assert offers.to_offers(types(price_cents_per_hour=cents), IMAGES, Need()) == []


@pytest.mark.parametrize("table", [None, {}, {"data": []}, {"data": None}])
def test_what_is_no_table_is_trouble(table: Any) -> None:
    with pytest.raises(ProviderDown):
        offers.to_offers(table, IMAGES, Need())


def test_rows_of_odd_types_are_left_out() -> None:
    table = {"data": {"a": 7, "b": {"instance_type": 7}, **types()["data"]}}
    table["data"]["gpu_1x_a10"]["regions_with_capacity_available"] += [7, {"name": "../x"}]

    assert len(offers.to_offers(table, {"data": [7, *IMAGES["data"]]}, Need())) == 1


@pytest.mark.parametrize(
    ("description", "card"),
    [
        ("H100 (80 GB SXM5)", "H100 SXM"),
        ("H100 (80 GB PCIe)", "H100 PCIe"),
        ("A100 (80 GB SXM4)", "A100 80GB SXM"),
        ("A100 (40 GB PCIe)", "A100 40GB PCIe"),
        ("A6000 (48 GB)", "RTX A6000"),
        ("GH200 (96 GB)", "GH200"),
        ("B200 (180 GB SXM6)", "B200"),
        ("V100 (16 GB)", "V100 SXM2 16GB"),
        ("Quadro RTX 6000 (24 GB)", "Quadro RTX 6000"),
        ("RTX 6000 (24 GB)", "RTX 6000"),
    ],
)
def test_a_card_is_known_by_lambdas_description(description: str, card: str) -> None:
    assert offers.to_card(description)[0] == card
