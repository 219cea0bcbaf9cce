from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest

from orchestrator.artifacts.s3 import S3
from orchestrator.errors import BucketRefused
from orchestrator.lifecycle.stores import Stores
from orchestrator.spec.place import Place
from tests.lifecycle.clouds import label
from tests.runs.samples import NOW_S, RUN_ID, launch, lease, run

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAFIRST", "AWS_SECRET_ACCESS_KEY": "secret"}
HERE = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000", "AWS_REGION": "eu-west-1"}


def stores(keys: Mapping[str, str] = KEYS, environment: Mapping[str, str] = HERE) -> Stores:
    return Stores(keys.get, environment, lambda: NOW_S)


def signed(store: S3) -> str:
    return store.sign_put(Place("results", "a"), 60)


@pytest.mark.parametrize(
    ("environment", "endpoint", "region"),
    [
        ({}, "", ""),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_DEFAULT_REGION": "r1"}, "http://all", "r1"),
        (
            {**HERE, "AWS_ENDPOINT_URL": "http://all", "AWS_DEFAULT_REGION": "r1"},
            HERE["AWS_ENDPOINT_URL_S3"],
            "eu-west-1",
        ),
    ],
)
def test_a_job_remembers_where_its_store_was_when_it_was_submitted(
    environment: dict[str, str], endpoint: str, region: str
) -> None:
    access = stores(environment=environment).settled()

    assert (access.endpoint, access.region, dict(access.credentials)) == (endpoint, region, {})
    assert stores(environment=environment).settled("us-west-2").region == "us-west-2"


def test_the_store_of_a_run_is_the_one_of_its_submit_with_the_keys_of_now() -> None:
    there = replace(launch(), bucket="s3://results", bucket_endpoint="http://127.0.0.1:1")

    url = signed(stores().open_for(there))

    assert url.startswith("http://127.0.0.1:1/results/a?")
    assert "AKIAFIRST" in url


def test_a_store_is_opened_once_until_the_keys_are_others() -> None:
    keys = dict(KEYS)
    opened = stores(keys)

    first = opened.open(opened.settled())
    assert opened.open(opened.settled()) is first
    keys["AWS_ACCESS_KEY_ID"] = "AKIASECOND"

    assert "AKIASECOND" in signed(opened.open(opened.settled()))


def test_many_threads_open_one_store() -> None:
    opened = stores()
    found: list[S3] = []
    threads = [
        threading.Thread(target=lambda: found.append(opened.open(opened.settled())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(one) for one in found}) == 1


def test_half_a_key_pair_is_refused_in_words() -> None:
    with pytest.raises(BucketRefused, match="AWS credentials"):
        stores({"AWS_ACCESS_KEY_ID": "AKIAFIRST"}).open(stores().settled())


def test_each_machine_of_a_run_has_a_folder_of_its_own() -> None:
    there = run(launch=replace(launch(), bucket="s3://results/team"), name="mine")
    second = lease(label().replace("-00-", "-01-"))

    found = stores().bucket(there, second)

    assert found is not None
    assert found.place == Place("results", f"team/mine-{RUN_ID}/01")
    assert stores().bucket(run(), second) is None, "results come home"
