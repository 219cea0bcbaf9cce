"""Checks on real accounts: `GPULEASE_LIVE=1`, keys in the environment, cents each.

Each settles a doubt that `gpulease doctor --uncertain` lists. One that fails says that the careful
way is needed, or that the documents are out of date: what was seen stands in its message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.providers import lambda_cloud, runpod, vast
from orchestrator.providers.http import Http
from tests.live.account import Account, key_or_skip


@pytest.fixture(scope="module")
def vast_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("VAST_API_KEY")
    url = os.environ.get("GPULEASE_VAST_URL", vast.URL)
    client, http = vast.Vast(key, url=url), Http(url, key)
    yield Account(client, http, Path(tmp_path_factory.mktemp("vast")))
    client.close()
    http.close()


@pytest.fixture(scope="module")
def runpod_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("RUNPOD_API_KEY")
    url = os.environ.get("GPULEASE_RUNPOD_URL", runpod.URL)
    graphql_url = os.environ.get("GPULEASE_RUNPOD_GRAPHQL_URL", runpod.GRAPHQL_URL)
    client, http = runpod.RunPod(key, url=url, graphql_url=graphql_url), Http(url, key)
    yield Account(client, http, Path(tmp_path_factory.mktemp("runpod")))
    client.close()
    http.close()


@pytest.fixture(scope="module")
def lambda_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    key = key_or_skip("LAMBDA_API_KEY")
    url = os.environ.get("GPULEASE_LAMBDA_URL", lambda_cloud.URL)
    user = os.environ.get("GPULEASE_LAMBDA_SSH_USER", lambda_cloud.USER)
    port = int(os.environ.get("GPULEASE_LAMBDA_SSH_PORT", lambda_cloud.PORT))
    client = lambda_cloud.Lambda(key, url=url, ssh_user=user, ssh_port=port)
    http = Http(url, key)
    yield Account(client, http, Path(tmp_path_factory.mktemp("lambda")))
    client.close()
    http.close()
