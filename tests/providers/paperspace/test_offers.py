from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.offers.rank import select
from orchestrator.providers.paperspace.catalog import KINDS
from orchestrator.providers.paperspace.offers import (
    cells,
    may_fit,
    to_offer,
    to_templates,
    to_usd_per_hour,
)
from orchestrator.spec.resources import Need
from tests.providers.paperspace.samples import template

NEED = Need(gpu_memory_gib=16, disk_gib=20)


def test_an_offer_has_machine_and_disk_in_its_price() -> None:
    made = to_offer(KINDS["A4000"], "ny2", template(), NEED)

    assert made is not None
    assert made.price.usd_per_hour == Decimal("0.76") + made.price.disk_usd_per_hour
    assert made.price.disk_usd_per_hour == to_usd_per_hour(Decimal(7))
    assert (made.gpu, made.gpu_count, made.gpu_memory_gib) == ("RTX A4000", 1, 16)
    assert (made.id, made.region, made.details["region"]) == (
        "A4000 ny2",
        "ny2",
        "East Coast (NY2)",
    )
    assert not made.spot


def test_a_disk_holds_what_the_job_needs_and_the_template_and_no_less_than_it_asks_for() -> None:
    def disk(gib: int, **changes: object) -> str:
        made = to_offer(KINDS["A4000"], "ny2", template(**changes), Need(disk_gib=gib))
        return made.details["disk_gb"] if made else ""

    assert disk(5) == "50"
    assert disk(5, defaultSizeGb=250) == "250"
    assert disk(20) == "100"
    assert disk(1900) == ""


def test_a_template_with_a_driver_is_found_by_its_label_not_by_an_id_that_may_vanish() -> None:
    rows = [
        template("A4000", "P4000", id="newest", dtCreated="2026-01-01T00:00:00.000Z"),
        template("A4000", id="older", dtCreated="2024-01-01T00:00:00.000Z"),
        template("A4000", id="plain", name="Ubuntu 22.04", dtCreated="2026-06-01T00:00:00.000Z"),
    ]
    off = {"machineTypeLabel": "H100", "isAvailable": False}
    rows.append(template(id="off", availableMachineTypes=[off]))

    found = to_templates(rows)

    assert {name: row["id"] for name, row in found.items()} == {
        "A4000": "newest",
        "P4000": "newest",
    }


@pytest.mark.parametrize("name", ["ML in a Box", "Ubuntu 20.04 - ml-in-a-box", "MLinaBox"])
def test_the_name_of_the_template_may_be_spelt_in_more_than_one_way(name: str) -> None:
    assert set(to_templates([template(name=name, operatingSystemLabel="Ubuntu")])) == {"A4000"}


def test_what_does_not_fit_is_offered_with_its_reason_and_not_asked_for() -> None:
    need = Need(gpu_memory_gib=24, regions_allow=("ca1",))
    found = cells(need)
    asked = {f"{kind.name} {region}" for kind, region in found if may_fit(kind, region, need)}
    made = [to_offer(kind, region, template(), need) for kind, region in found]
    chosen = select(need, [one for one in made if one], lambda one: one.price.usd_per_hour)

    assert {offer.id for offer in chosen.candidates} == asked
    assert asked == {"A6000 ca1", "A5000 ca1", "P6000 ca1"}
    assert ("P4000 ny2", "ny2") in {(offer.id, offer.region) for offer, _ in chosen.refused}


def test_several_gpus_are_types_of_their_own() -> None:
    assert {kind.name for kind, _ in cells(Need(gpu_count=8))} == {"H100x8", "A100-80Gx8"}
    assert all(kind.gpus == 1 for kind, _ in cells(Need(gpu_count=0, allow_cpu=True)))
