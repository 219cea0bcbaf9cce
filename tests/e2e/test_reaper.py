"""A reaper on another host: it knows no home, and ends what is past the deadline of its label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conventions.source import PROJECT
from tests.e2e.cloud import Cloud, deadline_s_of
from tests.e2e.jobs import WAITS, own_code
from tests.e2e.person import Person
from tests.simcloud.lambda_cloud import LambdaClient
from tests.simcloud.paperspace import PaperspaceClient

pytestmark = pytest.mark.slow


def arguments() -> list[str]:
    """What the unit of infra/reaper runs; the cron line must run the same."""
    unit = (PROJECT / "infra/reaper/gpulease-reaper.service").read_text()
    (command,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    words = command.split()[1:]
    assert f'gpulease" {" ".join(words)} ' in (PROJECT / "infra/reaper/crontab").read_text()
    return words


@pytest.fixture
def unable(cloud: Cloud) -> Iterator[None]:
    """No machine of this cloud can end itself."""
    cloud.switch(pod_key_ways=[])
    yield
    cloud.switch(pod_key_ways=["v2", "graphql"])


@pytest.mark.usefixtures("unable")
def test_a_forgotten_machine_is_ended_15_minutes_after_its_deadline_and_not_before(
    person: Person, new_person: Callable[[str], Person], cloud: Cloud, tmp_path: Path
) -> None:
    place = tmp_path / "heartbeat"
    watchman = new_person("watchman")
    watchman.config.write_text(f'[reaper]\nheartbeat = "{place}"\n')
    person.submits(own_code(person, WAITS))
    person.waits_for_state("running")
    person.kills_driver()
    (machine,) = cloud.living(person.home_id)
    deadline_s = deadline_s_of(machine)
    cloud.advance(deadline_s + 600 - cloud.now_s())

    early = watchman.types(*arguments())
    assert early.code == 0, early.err
    assert "nothing to return" in early.out
    assert cloud.living(person.home_id)

    cloud.advance(301)
    with cloud.hurrying():
        late = watchman.types(*arguments(), "--json")

    assert late.code == 0, late.err
    assert [one["id"] for one in late.json()["machines"]] == [machine["id"]]
    (ended,) = cloud.machines(person.home_id)
    assert ended["ended_by"] == "api"
    heartbeat = json.loads(place.read_text())
    assert "runpod" in heartbeat["accounts"]
    assert cloud.env["RUNPOD_API_KEY"] not in place.read_text()


@pytest.fixture(params=["lambda", "paperspace"])
def provider(request: pytest.FixtureRequest) -> str:
    """One on which nothing else ends a machine."""
    name: str = request.param
    return name


@pytest.fixture
def its_cloud(provider: str, environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "cloud", environment, "--boot-s", "1", "--providers", provider)
    yield made
    made.close()


@pytest.fixture
def people(its_cloud: Cloud, environment: dict[str, str], tmp_path: Path) -> Iterator[list[Person]]:
    """One who rents, and one who watches on another host."""
    two = [Person(tmp_path / name, environment | its_cloud.env) for name in ("ada", "watchman")]
    yield two
    for person in two:
        person.kills_driver()


def left_on(provider: str, cloud: Cloud) -> list[dict[str, Any]]:
    """Keys or scripts that were made for machines."""
    if provider == "lambda":
        with LambdaClient(cloud.env) as lambda_api:
            keys: list[dict[str, Any]] = lambda_api.data("/ssh-keys")
            return keys
    with PaperspaceClient(cloud.env) as paperspace_api:
        return paperspace_api.rows("/startup-scripts")


def test_where_nothing_else_ends_a_machine_the_reaper_does_and_takes_what_it_leaves(
    provider: str, its_cloud: Cloud, people: list[Person], tmp_path: Path
) -> None:
    ada, watchman = people
    place = tmp_path / "heartbeat"
    watchman.config.write_text(f'[reaper]\nheartbeat = "{place}"\n')
    job = own_code(ada, WAITS, more="accept_unguarded: true\n", max_cost="5.00")
    path = ada.desk / job
    path.write_text(path.read_text().replace("[runpod]", f"[{provider}]"))
    ada.submits(job)
    with its_cloud.hurrying(2.0):
        ada.waits_for_state("running")
    ada.kills_driver()
    (machine,) = its_cloud.living(ada.home_id)
    deadline_s = deadline_s_of(machine)
    its_cloud.advance(deadline_s + 600 - its_cloud.now_s())

    early = watchman.types(*arguments())
    assert early.code == 0, early.err
    assert its_cloud.living(ada.home_id) and left_on(provider, its_cloud)

    its_cloud.advance(301)
    with its_cloud.hurrying():
        late = watchman.types(*arguments(), "--json")

    assert late.code == 0, late.err
    assert [one["id"] for one in late.json()["machines"]] == [machine["id"]]
    (ended,) = its_cloud.machines(ada.home_id)
    assert ended["ended_by"] == "api"
    assert left_on(provider, its_cloud) == []
    assert provider in json.loads(place.read_text())["accounts"]
