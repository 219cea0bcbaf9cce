"""Results that go to object storage: with somebody watching, and with nobody ever again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.strict_store import KEYS as STRICT_KEYS
from tests.artifacts.strict_store import strict_store
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud, meanwhile
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code, training
from tests.e2e.person import Person, waits_until
from tests.e2e.places import Place
from tests.e2e.refused import refused
from tests.e2e.store import BUCKET, KEYS, TO_BUCKET, Store, url_of_index
from tests.providers.ssh_host.workstation import Workstation

SAVES_TO_BUCKET = f"{TO_BUCKET}checkpoints: {{every: 10s}}\n"
SECRETS = (b"X-Amz-Signature", KEYS["AWS_SECRET_ACCESS_KEY"].encode())


def index_of(store: Store, run_id: str, machine: str = "00") -> dict[str, Any]:
    index = json.loads(store.read(f"team/mine-{run_id}/{machine}/index.json"))
    assert isinstance(index, dict)
    return index


def others(store: Store, run_id: str) -> set[str]:
    """What a machine that still works has sent so far."""
    key = f"team/mine-{run_id}/00/index.json"
    if key not in store.keys(key):
        return set()
    return {one["path"] for one in json.loads(store.read(key))["others"]}


def is_complete(store: Store, run_id: str) -> bool:
    """Whether a machine has said that everything is there."""
    key = f"team/mine-{run_id}/00/index.json"
    return key in store.keys(key) and index_of(store, run_id)["complete"] is True


def lids_down(person: Person, cloud: Cloud, run_id: str) -> dict[str, Any]:
    """Nobody watches any more; the job ends, and so does its machine, at once and by itself."""
    person.kills_driver()
    (machine,) = cloud.living(person.home_id)
    began_s = cloud.now_s()
    cloud.says_go(run_id)
    ended = cloud.waits_for(machine["id"], ended_by="self", step_s=1.0)
    hours = (ended["ended_at"] - began_s) / 3600
    assert hours < 0.4, "it held nothing for nobody"
    return ended


def pulls_elsewhere(stranger: Person, run_id: str, folder: Path) -> dict[str, bytes]:
    """The files as another computer gets them, which has the bucket's rights and nothing else."""
    there = f"s3://{BUCKET}/team/mine-{run_id}"
    pulled = stranger.types("pull", "--from", there, "--to", str(folder), "--json")
    assert pulled.code == 0, pulled.err
    answer = pulled.json()
    assert answer["complete"] is True
    files = {one["path"]: (folder / one["path"]).read_bytes() for one in answer["artifacts"]}
    for one in answer["artifacts"]:
        assert hashlib.sha256(files[one["path"]]).hexdigest() == one["sha256"]
    return files


def comes_back(person: Person, place: Cloud | Place) -> dict[str, Any]:
    """The receipt, after a driver has seen what there is."""
    person.view()  # starts one, by the wall's own clock
    with place.hurrying():
        ended = person.types("attach", "last")
    receipt = person.types("receipt", "last", "--json").json()
    assert ended.code == receipt["exit_code"] == 0, ended.err + person.driver_log()
    return receipt


def holds_no_secret(data: bytes) -> None:
    for secret in SECRETS:
        assert secret not in data


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Whatever processes of this computer, and so of every machine, are started with meanwhile."""
    seen: set[bytes] = set()

    def look() -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                seen.add(path.read_bytes())

    with meanwhile(look, every_s=0.03):
        yield seen


def test_with_the_laptop_gone_everything_is_in_the_bucket_and_the_machine_ends_itself(
    person: Person,
    new_person: Callable[[str], Person],
    cloud: Cloud,
    store: Store,
    tmp_path: Path,
) -> None:
    with command_lines() as lines:
        run_id = person.submits(own_code(person, WAITS + WRITES_A_RESULT, more=TO_BUCKET))
        person.waits_for_state("running")
        lids_down(person, cloud, run_id)

    assert any(b"agent.pyz" in line for line in lines) and any(b"driver" in line for line in lines)
    for line in lines:
        holds_no_secret(line)
    assert index_of(store, run_id)["complete"] is True
    stranger = new_person("grace")
    stranger.env.update(store.env)
    files = pulls_elsewhere(stranger, run_id, tmp_path / "copy")
    assert set(files) == {"result.txt", "log.txt", "exit.json"}
    assert files["result.txt"] == b"forty-two\n"
    assert b"hello from" in files["log.txt"]
    for path in person.home.rglob("*"):
        if path.is_file():
            holds_no_secret(path.read_bytes())
    for key in store.keys(f"team/mine-{run_id}/"):
        holds_no_secret(store.read(key))


@pytest.mark.slow
def test_new_slots_in_mid_job_reach_no_argument_list(
    person: Person, cloud: Cloud, store: Store
) -> None:
    with command_lines() as lines:
        limits = {"max_duration": "9h", "max_cost": "9.00", "more": TO_BUCKET}
        run_id = person.submits(own_code(person, WAITS + WRITES_A_RESULT, **limits))
        person.waits_for_state("running")
        first = url_of_index(person)
        cloud.advance(6.1 * 3600)
        waits_until(lambda: url_of_index(person) != first)
        second = url_of_index(person)
        cloud.says_go(run_id)
        receipt = comes_back(person, cloud)

    for line in lines:
        holds_no_secret(line)
    assert store.was_asked_with(second) and receipt["artifacts_missing"] == []
    books_agree(receipt, person, cloud)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["setting_up", "running", "collecting"])
def test_the_laptop_may_go_for_good_at_any_point_after_the_start(
    state: str,
    person: Person,
    new_person: Callable[[str], Person],
    cloud: Cloud,
    store: Store,
    tmp_path: Path,
) -> None:
    # `requirements` makes a set-up that lasts, the large file an upload that does.
    requirements = "requirements.txt" if state == "setting_up" else ""
    person.writes("trainer/requirements.txt", "packaging==26.2\n")
    waits = "" if state == "collecting" else WAITS
    large = '(out / "large").write_bytes(bytes(range(256)) * (1 << 18))\n'
    script = waits + WRITES_A_RESULT + large
    run_id = person.submits(own_code(person, script, requirements=requirements, more=TO_BUCKET))
    person.waits_for_state(state)

    lids_down(person, cloud, run_id)

    stranger = new_person("grace")
    stranger.env.update(store.env)
    files = pulls_elsewhere(stranger, run_id, tmp_path / "copy")
    assert set(files) == {"result.txt", "large", "log.txt", "exit.json"}
    assert len(files["large"]) == 1 << 26
    receipt = comes_back(person, cloud)
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert {one["path"] for one in receipt["artifacts"]} == set(files)
    assert "hello from" in person.types("logs", "last").out
    books_agree(receipt, person, cloud, ended_by=["self"])


@pytest.mark.slow
@pytest.mark.parametrize("hours", [0.0, 6.1], ids=["soon", "after new slots"])
def test_a_training_goes_on_from_its_checkpoint_with_the_laptop_gone_for_good(
    hours: float,
    person: Person,
    new_person: Callable[[str], Person],
    cloud: Cloud,
    store: Store,
    tmp_path: Path,
) -> None:
    script = training(steps=9, saves_every=2, waits_at=5, dies_at=7)
    limits = {"max_duration": "9h", "max_cost": "9.00", "more": SAVES_TO_BUCKET}
    run_id = person.submits(own_code(person, script, **limits))
    person.waits(lambda view: view["progress"].get("step") == 5)
    waits_until(lambda: "checkpoints/step-4/complete.json" in others(store, run_id))
    signed = url_of_index(person)
    if hours:
        first = signed
        cloud.advance(hours * 3600)
        waits_until(lambda: url_of_index(person) != first)
        signed = url_of_index(person)

    lids_down(person, cloud, run_id)

    stranger = new_person("grace")
    stranger.env.update(store.env)
    files = pulls_elsewhere(stranger, run_id, tmp_path / "copy")
    assert json.loads(files["trained.json"]) == {"steps": list(range(1, 10)), "lives": 2}
    assert json.loads(files["checkpoints/step-8/state.json"])["lives"] == 2
    assert b"started again from checkpoints/step-6]" in files["log.txt"]
    assert store.was_asked_with(signed)
    receipt = comes_back(person, cloud)
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert receipt["metrics"] == {"steps": 9.0}
    books_agree(receipt, person, cloud, ended_by=["self"])


def arrives_while_nobody_drives(
    person: Person, says_go: Callable[[str], None], run_id: str, store: Store, stranger: Person
) -> None:
    """On a computer that does not end itself; the files are on the stranger's desk."""
    person.waits_for_state("running")
    person.kills_driver()
    says_go(run_id)
    waits_until(lambda: is_complete(store, run_id))
    stranger.env.update(store.env)
    files = pulls_elsewhere(stranger, run_id, stranger.desk / "copy")
    assert set(files) == {"result.txt", "log.txt", "exit.json"}
    assert files["result.txt"] == b"forty-two\n"
    assert person.state() == "running", "nobody has seen its end"


@pytest.mark.parametrize("place", ["ssh_host"], indirect=True)
def test_with_the_laptop_gone_a_workstation_keeps_a_folder_and_at_the_deadline_no_gpu(
    person: Person,
    new_person: Callable[[str], Person],
    place: Place,
    store: Store,
    tower: Workstation,
) -> None:
    colleague = new_person("grace")

    def gpus() -> list[str]:
        offers = colleague.types("offers", "--json").json().get("offers", [])
        return [offer["gpu"] for offer in offers]

    job = own_code(person, WAITS + WRITES_A_RESULT, providers=place.provider, more=TO_BUCKET)
    run_id = person.submits(job)
    arrives_while_nobody_drives(person, place.says_go, run_id, store, colleague)
    assert gpus() == []

    place.advance(2 * 3600.0)
    waits_until(lambda: tower.processes() == [])
    assert gpus() == ["L4"]
    assert len(place.machines(person)) == 1

    receipt = comes_back(person, place)
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert {one["path"] for one in receipt["artifacts"]} == {"result.txt", "log.txt", "exit.json"}
    place.has_all_back(receipt, person)


@pytest.mark.slow
def test_on_this_computer_results_go_to_the_bucket_while_nobody_drives(
    person: Person, new_person: Callable[[str], Person], cloud: Cloud, store: Store
) -> None:
    job = own_code(person, WAITS + WRITES_A_RESULT, providers="local", more=TO_BUCKET)
    run_id = person.submits(job)
    arrives_while_nobody_drives(person, cloud.says_go, run_id, store, new_person("grace"))

    receipt = comes_back(person, cloud)

    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert receipt["returned"]["proven"] is True
    assert list((person.home / "gpulease").glob("gl1-*")) == []
    assert not list(Path(receipt["artifacts_dir"]).glob("*"))


@pytest.mark.slow
def test_with_somebody_watching_the_machine_goes_back_once_all_is_proven_there(
    person: Person, cloud: Cloud, store: Store
) -> None:
    job = own_code(person, training(steps=4), more=TO_BUCKET)

    ended = person.types("submit", job, "--yes", "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = ended.json()
    run_id = receipt["run"]
    assert receipt["outcome"] == "succeeded"
    assert receipt["artifacts_at"] == f"s3://{BUCKET}/team/mine-{run_id}"
    assert receipt["metrics"] == {"steps": 4.0}
    paths = {one["path"] for one in receipt["artifacts"]}
    assert paths >= {"trained.json", "log.txt", "exit.json", "checkpoints/step-4/state.json"}
    assert not list(Path(receipt["artifacts_dir"]).glob("*"))
    assert index_of(store, run_id)["complete"] is True
    books_agree(receipt, person, cloud)
    pulled = person.types("pull", "mine", "--json")
    assert pulled.code == 0, pulled.err
    for one in receipt["artifacts"]:
        data = Path(receipt["artifacts_dir"], one["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == one["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False], ids=["at once", "once somebody is back"])
def test_a_lost_machine_s_job_goes_on_from_its_checkpoint_in_the_bucket(
    watched: bool, person: Person, cloud: Cloud, store: Store
) -> None:
    script = training(steps=6, waits_at=5)
    run_id = person.submits(own_code(person, script, more=SAVES_TO_BUCKET))
    person.waits(lambda view: view["progress"].get("step") == 5)
    waits_until(lambda: "checkpoints/step-4/complete.json" in others(store, run_id))
    (machine,) = cloud.living(person.home_id)
    if not watched:
        person.kills_driver()

    cloud.machine_fault(machine["id"], "host_lost")
    person.waits(lambda view: len(view["machines"]) == 2)
    person.waits(lambda view: view["state"] == "running" and view["progress"].get("step") == 5)
    person.types("cancel", "last")
    with cloud.hurrying():
        person.types("attach", "last")

    receipt = person.view()
    assert receipt["outcome"] == "cancelled"
    assert "goes on from its checkpoint at step 4" in " ".join(receipt["notes"])
    assert index_of(store, run_id, "01")["complete"] is True
    assert person.types("pull", "last").code == 0
    state = Path(receipt["artifacts_dir"], "checkpoints/step-5/state.json")
    assert json.loads(state.read_text())["lives"] == 2


@pytest.mark.parametrize(
    ("to", "minutes", "words", "code"),
    [
        ("s3://no-such-bucket", 0, "there is no such bucket", 4),
        (f"s3://{BUCKET}/team", 10, "min, and the machine may need to write", 4),
        (f"s3://{BUCKET}/team", 600, "", 0),
    ],
)
def test_a_bucket_that_cannot_do_is_refused_before_anything_is_rented(
    to: str, minutes: float, words: str, code: int, person: Person, cloud: Cloud, store: Store
) -> None:
    if minutes:
        end_at = datetime.fromtimestamp(cloud.now_s() + minutes * 60, UTC).isoformat()
        end = {"AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": end_at}
        person.env.update(end)
    job = own_code(person, more=f"artifacts: {{to: '{to}'}}\n")

    planned = person.types("plan", job)

    assert planned.code == code, planned.err
    assert words in " ".join(planned.err.split())
    assert not cloud.machines(person.home_id)
    assert not [key for key in store.keys("team") if "probe" in key]


def test_a_bucket_without_the_right_to_write_is_refused_before_anything_is_rented(
    person: Person, cloud: Cloud
) -> None:
    with strict_store() as denying:
        denying.denies = "PUT"
        person.env.update(STRICT_KEYS, AWS_ENDPOINT_URL_S3=denying.url, AWS_REGION="eu-west-1")
        job = own_code(person, more=TO_BUCKET)

        error = refused(person, cloud, job, exit_code=4, code="bucket")

    assert "a test object cannot be written" in error["problem"]
    assert "s3:PutObject" in error["hint"]
    assert denying.objects == {}
