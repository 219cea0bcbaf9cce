"""What it costs to read, normalise and rank 5,000 offers, beside reading the same JSON alone.

The answers are those of the simulated clouds; the market of Vast is as large as it must be.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from infra.simcloud.cloud import SimCloud
from infra.simcloud.vast.hosts import Ask, default_hosts
from infra.simcloud.vast.rows import offer_row
from infra.simcloud.web import Json
from orchestrator.lifecycle.plan import make_plan
from orchestrator.offers.offer import Offer
from orchestrator.providers.http import Answer
from orchestrator.providers.lambda_cloud import Lambda
from orchestrator.providers.lambda_cloud.offers import to_offers as to_lambda_offers
from orchestrator.providers.paperspace import Paperspace
from orchestrator.providers.paperspace.mapping import to_rows
from orchestrator.providers.paperspace.offers import cells, to_offer, to_templates
from orchestrator.providers.runpod import RunPod
from orchestrator.providers.runpod.mapping import TRUST
from orchestrator.providers.runpod.mapping import to_offers as to_runpod_offers
from orchestrator.providers.vast import Vast
from orchestrator.providers.vast.offers import to_offers as to_vast_offers
from orchestrator.spec.resources import Need
from tests.benchmarks.ratio import Row, compare
from tests.lifecycle.jobs import material, own_code

OFFERS = 5000
LIMIT = 5
_NOW_S = 1.8e9
_NEED = Need(gpu_memory_gib=20, cuda="12.4", compute_capability=7.5, disk_gib=60)
_CAPABILITIES = {
    "runpod": RunPod.capabilities,
    "lambda": Lambda.capabilities,
    "vast": Vast.capabilities,
    "paperspace": Paperspace.capabilities,
}


def rows() -> Iterator[Row]:
    with TemporaryDirectory(prefix="gl-bench-") as place:
        folder = Path(place)
        (state := folder / "cloud").mkdir()
        providers = ("runpod", "lambda", "paperspace")
        with SimCloud(state=state, machines="memory", providers=providers) as cloud:
            catalogs, types, images = _runpod(cloud.env), *_lambda(cloud.env)
            templates = _paperspace(cloud.env)
        known = (catalogs, types, images, templates)
        market = _vast(OFFERS - len(_read(*known, b'{"offers": []}')))
        job = material(own_code(folder))

        def plan() -> None:
            offers = _read(*known, market)
            assert len(offers) == OFFERS, f"{len(offers)} offers"
            made = make_plan(job, offers, _CAPABILITIES, now_s=_NOW_S, failures=[])
            assert made.candidates

        def parse() -> None:
            for text in (*catalogs.values(), types, images, templates, market):
                json.loads(text)

        ours, bare = compare(lambda: _cpu_ms(plan), lambda: _cpu_ms(parse))
    what = (
        f"CPU of parsing, normalising and ranking {OFFERS:,} offers of {len(_CAPABILITIES)} clouds"
    )
    yield Row(what, ours, bare, "ms", LIMIT, "`json.loads` of the same bytes")


def _read(
    catalogs: dict[str, bytes], types: bytes, images: bytes, templates: bytes, market: bytes
) -> list[Offer]:
    offers = to_vast_offers(_data(market), _NEED)
    offers += to_lambda_offers(_data(types), _data(images), _NEED)
    for tier, catalog in catalogs.items():
        offers += to_runpod_offers(_data(catalog), tier, _NEED)
    rows, _ = to_rows(_data(templates), "templates")
    by_type = to_templates(rows)
    made = [
        to_offer(kind, region, by_type[kind.name], _NEED)
        for kind, region in cells(_NEED)
        if kind.name in by_type
    ]
    return offers + [offer for offer in made if offer is not None]


def _data(body: bytes) -> object:
    return Answer(200, {}, body).data()


def _runpod(env: dict[str, str]) -> dict[str, bytes]:
    query = {"include": "AVAILABILITY", "product": "POD", "count": "1"}
    url, key = f"{env['GPULEASE_RUNPOD_URL']}/catalog/gpus", env["RUNPOD_API_KEY"]
    return {tier: _get(url, key, query | {"cloud": tier}) for tier in TRUST}


def _lambda(env: dict[str, str]) -> tuple[bytes, bytes]:
    url, key = env["GPULEASE_LAMBDA_URL"], env["LAMBDA_API_KEY"]
    return _get(f"{url}/instance-types", key, {}), _get(f"{url}/images", key, {})


def _paperspace(env: dict[str, str]) -> bytes:
    """Its templates: types and prices are the product's own table."""
    url = f"{env['GPULEASE_PAPERSPACE_URL']}/os-templates"
    return _get(url, env["PAPERSPACE_API_KEY"], {})


def _get(url: str, key: str, query: dict[str, str]) -> bytes:
    answer = httpx.get(url, params=query, headers={"Authorization": f"Bearer {key}"})
    return answer.raise_for_status().content


def _vast(size: int) -> bytes:
    """A search that found so many offers, each of a machine of its own."""
    seed, ids = random.Random(1), count(7_000_000)
    found: list[dict[str, Json]] = []
    while len(found) < size:
        for host in default_hosts(seed, _NOW_S):
            host.machine_id = next(ids)
            found.append(offer_row(Ask(next(ids), host, 1), Decimal(65), _NOW_S, is_bid=False))
    return json.dumps({"offers": found[:size]}).encode()


def _cpu_ms(act: Callable[[], None]) -> float:
    began_s = time.process_time()
    act()
    return (time.process_time() - began_s) * 1000
