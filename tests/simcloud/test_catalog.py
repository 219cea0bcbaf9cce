"""What is for rent, as v2 shows it."""

from __future__ import annotations

import pytest

from infra.simcloud.cloud import SimCloud
from tests.simcloud.api import Api

AVAILABLE = {"include": "AVAILABILITY", "product": "POD"}


def test_a_card_has_a_price_in_each_tier_and_stock_only_when_asked(api: Api) -> None:
    plain = api.get("/catalog/gpus/NVIDIA%20GeForce%20RTX%204090").json()
    asked = api.get("/catalog/gpus/NVIDIA%20GeForce%20RTX%204090", params=AVAILABLE).json()

    assert plain["price"] == {"secure": 0.69, "community": 0.34}
    assert plain["maxCount"] == {"secure": 8, "community": 4}
    assert "availability" not in plain
    assert asked["availability"] == "HIGH"
    assert [center["id"] for center in asked["dataCenters"]] == ["EU-RO-1", "US-KS-2", "US-TX-3"]


def test_stock_is_for_the_asked_count_cloud_cuda_and_country(api: Api) -> None:
    def availability(gpu: str, **query: str) -> str:
        rows = api.get("/catalog/gpus", params=AVAILABLE | query).json()["gpus"]
        return next(str(row["availability"]) for row in rows if row["name"] == gpu)

    assert availability("L4") == "HIGH"
    assert availability("L4", count="8") == "LOW"
    assert availability("L4", count="9") == "NONE"
    assert availability("L4", cloud="COMMUNITY") == "NONE"
    assert availability("L4", minCudaVersion="14") == "NONE"
    asked = AVAILABLE | {"countryCodes": "RO"}
    centers = api.get("/catalog/gpus/NVIDIA%20L4", params=asked).json()["dataCenters"]
    assert [center["id"] for center in centers] == ["EU-RO-1"]


def test_what_is_rented_is_no_longer_in_stock(api: Api) -> None:
    api.create(gpu={"id": "NVIDIA H100 80GB HBM3", "count": 8})

    row = api.get("/catalog/gpus/NVIDIA%20H100%2080GB%20HBM3", params=AVAILABLE).json()

    assert row["availability"] == "NONE"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"product": "POD"}, 400),
        ({"include": "AVAILABILITY"}, 400),
        ({"include": "STOCK", "product": "POD"}, 422),
        ({**AVAILABLE, "count": "0"}, 422),
        ({**AVAILABLE, "cloud": "ALL"}, 422),
        ({**AVAILABLE, "countryCodes": "fr"}, 422),
        ({**AVAILABLE, "cudaVersions": "12"}, 422),
        ({**AVAILABLE, "cudaVersions": "12.8", "minCudaVersion": "12"}, 400),
        ({"anything": "else"}, 200),
    ],
)
def test_the_query_has_rules(api: Api, query: dict[str, str], status: int) -> None:
    assert api.get("/catalog/gpus", params=query).status_code == status


def test_the_catalog_may_be_at_odds_with_itself(cloud: SimCloud, api: Api) -> None:
    cloud.switch(odd_catalog=True)

    rows = api.get("/catalog/gpus", params={"include": "AVAILABILITY", "product": "POD"}).json()

    l4 = next(row for row in rows["gpus"] if row["id"] == "NVIDIA L4")
    assert l4["availability"] == "NONE"
    assert {center["availability"] for center in l4["dataCenters"]} == {"HIGH"}
    assert rows["gpus"][-1]["id"] == "unknown"


def test_data_centers_with_what_they_have(api: Api) -> None:
    query = {"include": "GPU_AVAILABILITY", "regions": "EUROPE"}
    rows = api.get("/catalog/datacenters", params=query).json()["dataCenters"]

    assert [row["id"] for row in rows] == ["EU-RO-1", "EU-SE-1"]
    assert "NVIDIA L4" in [gpu["id"] for gpu in rows[0]["gpuAvailability"]]


def test_unknown_cards_and_an_edge_that_dislikes_an_agent(cloud: SimCloud, api: Api) -> None:
    assert api.get("/catalog/gpus/NVIDIA%20Z9").status_code == 404
    assert api.get("/catalog/moons").status_code == 404

    cloud.switch(refuses_urllib=True)
    reply = api.get("/catalog/gpus", headers={"User-Agent": "Python-urllib/3.11"})
    assert (reply.status_code, reply.headers["Content-Type"]) == (403, "text/html")
    assert api.get("/catalog/gpus").status_code == 200
