"""Each deliberate difference says what it is about; whether it is one still, its users test."""

from __future__ import annotations

import pytest

from tests.providers.differences import ANSWERED, FAULTS, SENT, Difference
from tests.providers.lambda_cloud import openapi as lambda_cloud
from tests.providers.paperspace import openapi as paperspace
from tests.providers.runpod import openapi as runpod
from tests.providers.vast import openapi as vast

MODULES = (lambda_cloud, paperspace, runpod, vast)
DESCRIPTIONS = {one.DESCRIPTION.provider: one.DESCRIPTION for one in MODULES}
WHOLE_CALLS = [one for one in SENT if not one.place]


def test_each_is_listed_once_with_its_evidence() -> None:
    for listed in (SENT, ANSWERED):
        places = [(one.provider, one.call, one.place) for one in listed]
        assert len(set(places)) == len(places)
    told = [(one.provider, one.how, one.evidence) for one in (*SENT, *ANSWERED)]
    told += [(one.provider, one.how, one.evidence) for one in FAULTS]
    for provider, how, evidence in told:
        assert provider in DESCRIPTIONS
        assert len(how.split()) > 2 and len(evidence.split()) > 3


@pytest.mark.parametrize("one", [*SENT, *ANSWERED], ids=lambda one: f"{one.call} {one.place}")
def test_each_is_about_a_call_that_is_described_unless_the_call_itself_is_not(
    one: Difference,
) -> None:
    method, _, path = one.call.partition(" ")
    described = DESCRIPTIONS[one.provider].document["paths"]

    assert (method.lower() in described.get(path, {})) == bool(one.place)


@pytest.mark.parametrize("one", WHOLE_CALLS, ids=lambda one: one.call)
def test_a_call_that_is_not_described_is_in_no_part_of_the_published_file(one: Difference) -> None:
    description = DESCRIPTIONS[one.provider]
    if not description.published.is_file():
        pytest.skip("needs the published description beside the checkout")

    path = one.call.partition(" ")[2]

    assert path not in {known.rstrip("/") for known in description.read_published()["paths"]}
