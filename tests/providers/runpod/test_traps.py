"""Traps of RunPod's that one answer alone does not show."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import Recovery
from orchestrator.providers.http import Answer
from orchestrator.providers.runpod import mapping
from orchestrator.spec.resources import Need
from tests.providers.runpod.samples import gpu, request

_GENERIC = "Something went wrong. Please try again later or contact support."


@pytest.mark.parametrize(
    ("status", "recovery"),
    [(500, Recovery.LOOK_FIRST), (503, Recovery.LOOK_FIRST), (400, Recovery.NEXT_OFFER)],
)
def test_something_went_wrong_is_looked_into_unless_it_refuses_the_request(
    status: int, recovery: Recovery
) -> None:
    """What was looked for in vain is tried once more, then the next offer: `steps/rent.py`."""
    body = {"title": "Error", "status": status, "detail": _GENERIC}

    error = mapping.to_create_error(Answer(status, {}, json.dumps(body).encode()))

    assert error.recovery is recovery


def test_no_pod_is_asked_for_without_a_gpu_so_the_small_disks_of_those_bound_nothing() -> None:
    """Also for a job that would take a CPU: the catalog of CPUs is not read."""
    offers = mapping.to_offers({"gpus": [gpu()]}, "SECURE", Need(allow_cpu=True, disk_gib=500))
    body = mapping.to_create_body(request())

    assert [offer.gpu_count for offer in offers] == [1]
    assert body["gpu"]["count"] >= 1 and "cpu" not in body
