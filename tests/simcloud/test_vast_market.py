"""What Vast's hosts offer, and the search in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.cloud import SimCloud
from orchestrator.clock import FakeClock
from tests.simcloud.vast import Vast

EVERYTHING: dict[str, Any] = {"verified": {"in": [True, False]}}


def test_the_market_is_large_and_mixed(vast: Vast) -> None:
    hosts = {row["machine_id"]: row for row in vast.search(**EVERYTHING, num_gpus={"eq": 1})}

    assert 30 <= len(hosts) <= 60
    names = {row["gpu_name"] for row in hosts.values()}
    assert {"RTX 4090", "A100 SXM4", "H100 SXM", "RTX A5000", "Tesla T4"} <= names
    assert {row["gpu_ram"] for row in hosts.values() if row["gpu_name"] == "A100 SXM4"} == {
        40960,
        81920,
    }
    assert {row["verification"] for row in hosts.values()} == {
        "verified", "unverified", "deverified",
    }  # fmt: skip
    assert {row["hosting_type"] for row in hosts.values()} == {0, 1}
    assert min(row["reliability2"] for row in hosts.values()) < 0.7
    assert any(row["cpu_cores"] is None for row in hosts.values())
    assert any(row["geolocation"] is None for row in hosts.values())
    assert any(row["direct_port_count"] == 0 for row in hosts.values())


def test_a_price_is_gpus_plus_the_disk_that_was_asked_for(vast: Vast) -> None:
    offer = vast.offer(gpu_name={"eq": "RTX 4090"}, allocated_storage=80)

    assert offer["storage_total_cost"] == pytest.approx(offer["storage_cost"] * 80 / 720)
    assert offer["dph_total"] == pytest.approx(offer["dph_base"] + offer["storage_total_cost"])
    assert offer["search"]["totalHour"] == pytest.approx(offer["dph_total"])


def test_filters_all_hold(vast: Vast) -> None:
    found = vast.search(
        gpu_name={"in": ["RTX 4090", "RTX 5090"]},
        num_gpus={"gte": 2, "lt": 8},
        inet_down={"gt": 800},
        datacenter={"eq": True},
        geolocation={"notin": ["US"]},
        cuda_max_good={"gte": 12.8},
        order=[["num_gpus", "desc"], ["dph_total", "asc"]],
        type="on-demand",
    )

    assert found
    for row in found:
        assert row["gpu_name"] in ("RTX 4090", "RTX 5090")
        assert row["inet_down"] > 800
        assert row["hosting_type"] == 1
        assert not row["geolocation"].endswith("US")
    keys = [(-row["num_gpus"], row["dph_total"]) for row in found]
    assert keys == sorted(keys)


def test_a_name_with_underscores_and_gigabytes_find_nothing_useful(vast: Vast) -> None:
    assert vast.search(gpu_name={"eq": "RTX_4090"}) == []
    assert len(vast.search(gpu_ram={"gte": 24})) == len(vast.search())


def test_a_number_may_be_sent_as_text(vast: Vast) -> None:
    """As the command line does."""
    assert vast.search(num_gpus={"eq": "8"}) == vast.search(num_gpus={"eq": 8}) != []
    assert vast.search(num_gpus={"in": ["8", "4"]}) == vast.search(num_gpus={"in": [8, 4]})
    assert vast.search(num_gpus={"eq": "eight"}) == []


def test_what_is_not_said_is_verified_and_for_rent(vast_cloud: SimCloud, vast: Vast) -> None:
    assert {row["verification"] for row in vast.search()} == {"verified"}

    vast_cloud.switch(search_defaults=False)
    assert "unverified" in {row["verification"] for row in vast.search()}


def test_an_answer_has_at_most_so_many_rows(vast_cloud: SimCloud, vast: Vast) -> None:
    assert len(vast.search(**EVERYTHING, limit=10_000)) == 64
    assert len(vast.search(limit=3)) == 3

    vast_cloud.switch(search_cap=1000)
    assert len(vast.search(**EVERYTHING)) > 64


def test_a_bid_is_priced_by_the_least_one(vast: Vast) -> None:
    asked = {"gpu_name": {"eq": "H100 SXM"}, "num_gpus": {"eq": 8}, "allocated_storage": 100}
    (listed,) = vast.search(**asked)
    (bid,) = vast.search(**asked, type="bid")

    assert bid["dph_base"] == bid["min_bid"] == listed["min_bid"] < listed["dph_base"]
    assert (bid["is_bid"], listed["is_bid"]) == (True, False)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"num_gpus": 0}, "0 is not a valid search op"),
        ({"num_gpus": {"like": 1}}, "like"),
        ({"price": {"lt": 1}}, "price is not a valid search key"),
        ({"type": "spot"}, "type"),
        ({"order": ["dph_total"]}, "order"),
        ({"gpu_name": {"in": "RTX 4090"}}, "list"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(
    vast: Vast, query: dict[str, Any], word: str
) -> None:
    reply = vast.post("/api/v0/bundles/", json=query)

    assert reply.status_code == 400
    assert reply.json()["error"] == "invalid_request"
    assert word in reply.json()["msg"]


def test_the_other_search_wants_its_query_wrapped(vast: Vast) -> None:
    query = {"num_gpus": {"eq": 8}}

    wrapped = vast.put("/api/v0/search/asks/", json={"select_cols": ["*"], "q": query})
    flat = vast.put("/api/v0/search/asks/", json=query)

    assert wrapped.json()["offers"] == vast.search(**query)
    assert (flat.status_code, flat.json()["msg"]) == (400, "Extra inputs are not permitted")


def test_searching_needs_no_key_and_refuses_a_wrong_one(vast_cloud: SimCloud) -> None:
    with Vast(vast_cloud.env, key="") as nobody:
        assert nobody.search()
        assert "RTX 4090" in nobody.get("/api/v0/gpu_names/unique/").json()["gpu_names"]
        wrong = {"Authorization": "Bearer wrong"}
        assert nobody.post("/api/v0/bundles/", json={}, headers=wrong).status_code == 404


def test_an_ask_that_is_taken_is_relisted_under_another_id(vast: Vast) -> None:
    asked = {"gpu_name": {"eq": "H100 SXM"}, "num_gpus": {"eq": 1}, "datacenter": {"eq": True}}
    (offer,) = vast.search(**asked)
    vast.create(offer["id"])

    (again,) = vast.search(**asked)

    assert again["machine_id"] == offer["machine_id"]
    assert again["id"] != offer["id"]
    assert vast.search(**asked | {"num_gpus": {"eq": 8}}) == [], "seven are left"
    gone = vast.rent(offer["id"])
    assert gone.status_code == 400
    assert "no_such_ask  Instance type by id" in gone.json()["msg"]


def test_a_row_without_gpus_cannot_be_rented(vast: Vast) -> None:
    (row,) = vast.search(**EVERYTHING, num_gpus={"eq": 0})

    assert "no_such_ask" in vast.rent(row["id"]).text


def test_the_same_seed_gives_the_same_market(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        state, clock = tmp_path / name, FakeClock()
        with (
            SimCloud(
                state=state, machines="memory", clock=clock, seed=3, providers=("vast",)
            ) as cloud,
            Vast(cloud.env) as vast,
        ):
            found.append(vast.search())

    assert found[0] == found[1]
