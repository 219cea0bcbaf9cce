"""A reaper on another host: it knows no home, and ends what is past the deadline of its label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conventions.source import PROJECT
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, own_code
from tests.e2e.person import Person

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
    deadline_s = int(machine["label"].rpartition("-")[2], 36)
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
