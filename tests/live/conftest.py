"""Checks on real accounts: `GPULEASE_LIVE=1`, keys in the environment, cents each.

Each settles a doubt that `gpulease doctor --uncertain` lists. One that fails says that the careful
way is needed, or that the documents are out of date: what was seen stands in its message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.budget.price import Price
from orchestrator.offers.offer import Offer
from orchestrator.providers import lambda_cloud, paperspace, runpod, vast
from orchestrator.providers.http import Http
from tests.live.account import Account, key_or_skip, this_clock


@pytest.fixture(scope="module")
def vast_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("VAST_API_KEY")
    url = os.environ.get("GPULEASE_VAST_URL", vast.URL)
    client, http = vast.Vast(key, url=url, clock=this_clock()), Http(url, key)
    yield Account(client, http, Path(tmp_path_factory.mktemp("vast")))
    client.close()
    http.close()


@pytest.fixture(scope="module")
def runpod_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("RUNPOD_API_KEY")
    url = os.environ.get("GPULEASE_RUNPOD_URL", runpod.URL)
    graphql_url = os.environ.get("GPULEASE_RUNPOD_GRAPHQL_URL", runpod.GRAPHQL_URL)
    client, http = (
        runpod.RunPod(key, url=url, graphql_url=graphql_url, clock=this_clock()),
        Http(url, key),
    )
    yield Account(client, http, Path(tmp_path_factory.mktemp("runpod")))
    client.close()
    http.close()


@pytest.fixture(scope="module")
def lambda_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("LAMBDA_API_KEY")
    url = os.environ.get("GPULEASE_LAMBDA_URL", lambda_cloud.URL)
    user = os.environ.get("GPULEASE_LAMBDA_SSH_USER", lambda_cloud.USER)
    port = int(os.environ.get("GPULEASE_LAMBDA_SSH_PORT", lambda_cloud.PORT))
    client = lambda_cloud.Lambda(key, url=url, ssh_user=user, ssh_port=port, clock=this_clock())
    http = Http(url, key)
    yield Account(client, http, Path(tmp_path_factory.mktemp("lambda")))
    client.close()
    http.close()


@pytest.fixture(scope="module")
def paperspace_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Rents machines without a GPU: half a cent an hour, and whole hours are billed."""
    key = key_or_skip("PAPERSPACE_API_KEY")
    url = os.environ.get("GPULEASE_PAPERSPACE_URL", paperspace.URL)
    user = os.environ.get("GPULEASE_PAPERSPACE_SSH_USER", paperspace.USER)
    port = int(os.environ.get("GPULEASE_PAPERSPACE_SSH_PORT", paperspace.PORT))
    client = paperspace.Paperspace(key, url=url, ssh_user=user, ssh_port=port, clock=this_clock())
    http = Http(url, key)
    facts = {
        "type": "C1",
        "region": "East Coast (NY2)",
        "template": "t0nspur5",
        "disk_gb": "50",
    }
    price = Price(Decimal("0.02"))
    offer = Offer("C1 ny2", "paperspace", "", 0, 0.0, price, region="ny2", details=facts)
    yield Account(client, http, Path(tmp_path_factory.mktemp("paperspace")), offer)
    client.close()
    http.close()
