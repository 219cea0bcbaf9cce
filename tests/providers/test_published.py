from __future__ import annotations

import json
import os
import re

import pytest

from tests.providers.lambda_cloud import openapi as lambda_cloud
from tests.providers.paperspace import openapi as paperspace
from tests.providers.published import Description
from tests.providers.runpod import openapi as runpod
from tests.providers.vast import openapi as vast

DESCRIPTIONS = [one.DESCRIPTION for one in (lambda_cloud, paperspace, runpod, vast)]


@pytest.mark.parametrize("one", DESCRIPTIONS, ids=lambda one: one.provider)
def test_the_golden_description_is_the_published_one_cut_down(one: Description) -> None:
    """UPDATE_GOLDEN=1 writes it anew."""
    if not one.published.is_file():
        pytest.skip("needs the published description beside the checkout")
    made = one.cut_down()
    if os.environ.get("UPDATE_GOLDEN"):
        one.golden.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")

    assert json.loads(one.golden.read_text()) == made


@pytest.mark.parametrize("one", DESCRIPTIONS, ids=lambda one: one.provider)
def test_the_golden_description_has_every_call_and_all_that_it_refers_to(one: Description) -> None:
    for path, methods in one.calls.items():
        assert set(methods) <= set(one.document["paths"][path]), path
    for reference in re.findall(r'"#/components/([^"]+)"', one.golden.read_text()):
        kind, name = reference.split("/")
        assert name in one.document["components"][kind]
