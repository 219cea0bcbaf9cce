"""A full disk, there or here: nothing is lost that could be had, and the rest is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, own_code
from tests.e2e.person import Person
from tests.e2e.places import OwnPlace, Place, RentedPlace
from tests.providers.ssh_host.workstation import Workstation

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts small disks"),
]

FILLS = """\
import os, pathlib
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
(out / "early.txt").write_text("made in time")
print("it grows", flush=True)
with open(out / "large.bin", "wb") as file:
    while True:
        file.write(os.urandom(1 << 20))
"""
LARGE = """\
import os, pathlib
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
(out / "a-large.bin").write_bytes(os.urandom(30 << 20))
(out / "small.txt").write_text("small")
print("done")
"""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own for a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no mounts here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def cramped_cloud(environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    """A cloud all of whose machines share one small disk."""
    pool = tmp_path / "pool"
    with small_disk(pool, "32m"):
        cramped = environment | {"GPULEASE_SIMCLOUD_UV_CACHE": str(pool)}
        cloud = Cloud(tmp_path / "cramped", cramped, "--boot-s", "0.5", "--no-hub")
        yield cloud
        cloud.close()


@pytest.fixture
def cramped_tower(tower: Workstation) -> Iterator[Workstation]:
    with small_disk(tower.home, "32m"):
        yield tower


@pytest.fixture(params=["runpod", pytest.param("ssh_host", marks=pytest.mark.slow)])
def cramped(request: pytest.FixtureRequest) -> Place:
    """A place with little room for a machine."""
    if request.param == "ssh_host":
        return OwnPlace(request.getfixturevalue("cramped_tower"))
    return RentedPlace(request.getfixturevalue("cramped_cloud"))


def test_a_machine_whose_disk_is_full_gives_all_that_was_written(
    environment: dict[str, str], cramped: Place, tmp_path: Path
) -> None:
    person = Person(tmp_path / "ada", {**environment, **cramped.env})
    cramped.lets_in(person)
    job = own_code(person, FILLS, providers=cramped.provider)

    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("returning")
        with cramped.hurrying():
            followed = person.ends(process)

    assert followed.code == 1, followed.err + person.driver_log()
    receipt = followed.json()
    assert receipt["outcome"] == "failed"
    assert receipt["error"]["code"] == "disk_full"
    assert receipt["error"]["problem"] == (
        f"the machine's disk{cramped.disk_size} is full; "
        "OSError: [Errno 28] No space left on device"
    )
    assert receipt["error"]["hint"] == (
        "write less, for example fewer checkpoints; "
        f"gpulease logs {receipt['run']} tells what was written"
    )
    assert receipt["artifacts_missing"] == []
    artifacts = Path(receipt["artifacts_dir"])
    assert (artifacts / "early.txt").read_text() == "made in time"
    assert (artifacts / "large.bin").stat().st_size > 10 << 20
    log = Path(receipt["log"]).read_text()
    assert log.startswith("it grows\n") and "No space left" in log
    cramped.has_all_back(receipt, person)


@pytest.mark.slow
@pytest.mark.parametrize("room_is_made", [True, False])
def test_results_that_do_not_fit_at_home_wait_on_the_machine_and_are_named(
    new_person: Callable[[str], Person], cloud: Cloud, tmp_path: Path, room_is_made: bool
) -> None:
    home = tmp_path / "ada" / "home"
    with small_disk(home, "40m"):
        person = new_person("ada")
        job = own_code(person, LARGE, more="artifacts: {hold: 5m}\n")
        with person.starts("submit", job, "--yes", "--json") as process:
            waiting = person.waits(lambda view: "no room" in view["waiting"])
            assert "no room at home for 'a-large.bin': it needs 30.0 MiB" in waiting["waiting"]
            assert "make room within 5 min" in " ".join(waiting["notes"])
            assert (home / f"runs/{waiting['run']}/artifacts/small.txt").read_text() == "small"
            assert waiting["state"] == "collecting"
            if room_is_made:
                subprocess.run(["mount", "-o", "remount,size=80m", str(home)], check=True)
                person.waits_for_state("returning")
            with cloud.hurrying():
                followed = person.ends(process)

        assert followed.code == (0 if room_is_made else 8), followed.err + person.driver_log()
        receipt = followed.json()
        books_agree(receipt, person, cloud, ended_by=["api" if room_is_made else "self"])
        person.kills_driver()
    assert receipt["outcome"] == "succeeded"
    names = {one["path"] for one in receipt["artifacts"]}
    assert names >= {"exit.json", "log.txt", "small.txt"}
    assert ("a-large.bin" in names) is room_is_made
    missing = [] if room_is_made else ["'a-large.bin' was not fetched"]
    assert receipt["artifacts_missing"] == missing


@pytest.mark.slow
def test_a_new_driver_on_a_full_disk_returns_a_machine_that_nothing_else_ends(
    environment: dict[str, str], tmp_path: Path
) -> None:
    cloud = Cloud(tmp_path / "cloud", environment, "--boot-s", "1", "--providers", "lambda")
    person = Person(tmp_path / "ada", environment | cloud.env)
    with small_disk(person.home, "60m"):
        job = person.desk / own_code(person, WAITS, more="accept_unguarded: true\n")
        job.write_text(job.read_text().replace("[runpod]", "[lambda]"))
        run = person.submits(job.name, "--provider", "lambda")
        with cloud.hurrying(2.0):
            person.waits_for_state("running")
        person.kills_driver()
        ballast = person.home / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        (machine,) = cloud.living(person.home_id)

        with subprocess.Popen(
            [*person.command, "driver"],
            env=person.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as driver:
            cloud.waits_for(machine["id"], ended_by="api", step_s=60)
            assert driver.poll() is None
            assert person.state() == "running", "nothing could be written"
            ballast.unlink()
            with cloud.hurrying():
                person.waits_for_state("ended")

        receipt = person.types("receipt", run, "--json").json()
        assert receipt["outcome"] in ("expired", "capped")
        books_agree(receipt, person, cloud)
        person.kills_driver()
    cloud.close()
