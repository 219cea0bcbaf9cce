"""Results that go to object storage: with somebody watching, and with nobody."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code, training
from tests.e2e.person import Person
from tests.e2e.store import BUCKET, KEYS, Store

TO_BUCKET = f"artifacts: {{to: s3://{BUCKET}/team}}\n"


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store") / "moto.log")
    yield store
    store.close()


@pytest.fixture
def store(shared_store: Store, person: Person) -> Store:
    """The store, for which the person has keys in their terminal."""
    person.env.update(shared_store.env)
    return shared_store


def index_of(store: Store, run_id: str, machine: str = "00") -> dict[str, Any]:
    index = json.loads(store.read(f"team/mine-{run_id}/{machine}/index.json"))
    assert isinstance(index, dict)
    return index


def test_results_go_to_the_bucket_and_are_pulled_from_there(
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


def lids_down(person: Person, cloud: Cloud, run_id: str) -> dict[str, Any]:
    """Nobody watches any more; the job ends, and so does its machine, at once and by itself."""
    person.kills_driver()
    (machine,) = cloud.living(person.home_id)
    cloud.says_go(run_id)
    return cloud.waits_for(machine["id"], ended_by="self", step_s=1.0)


def comes_back(person: Person, cloud: Cloud) -> dict[str, Any]:
    """The receipt, after a driver has seen what there is."""
    person.view()  # starts one, by the wall's own clock
    with cloud.hurrying():
        ended = person.types("attach", "last")
    receipt = person.types("receipt", "last", "--json").json()
    assert ended.code == receipt["exit_code"] == 0, ended.err + person.driver_log()
    return receipt


def same_files(folder: Path, other: Path) -> bool:
    def listing(root: Path) -> dict[str, bytes]:
        return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*.*")}

    return listing(folder) == listing(other)


def test_with_the_laptop_gone_everything_is_in_the_bucket_and_the_machine_ends_itself(
    person: Person, new_person: Any, cloud: Cloud, store: Store, tmp_path: Path
) -> None:
    run_id = person.submits(own_code(person, WAITS + WRITES_A_RESULT, more=TO_BUCKET))
    person.waits_for_state("running")

    machine = lids_down(person, cloud, run_id)

    hours = (machine["ended_at"] - machine["created_at"]) / 3600
    assert hours < 0.4, "it held nothing for nobody"
    index = index_of(store, run_id)
    assert index["complete"] is True
    assert {one["path"] for one in index["files"]} >= {"output/result.txt", "log.txt", "exit.json"}
    stranger = new_person("grace")
    stranger.env.update(store.env)
    there = f"s3://{BUCKET}/team/mine-{run_id}"
    pulled = stranger.types("pull", "--from", there, "--to", str(tmp_path / "copy"), "--json")
    assert pulled.code == 0, pulled.err
    assert pulled.json()["complete"] is True
    assert (tmp_path / "copy/result.txt").read_text() == "forty-two\n"
    receipt = comes_back(person, cloud)
    assert (receipt["outcome"], receipt["artifacts_missing"]) == ("succeeded", [])
    assert receipt["artifacts"] == pulled.json()["artifacts"]
    assert "hello from" in person.types("logs", "last").out
    books_agree(receipt, person, cloud, ended_by=["self"])
    assert person.types("pull", "last").code == 0
    assert same_files(Path(receipt["artifacts_dir"]), tmp_path / "copy")


@pytest.mark.slow
@pytest.mark.parametrize("state", ["setting_up", "collecting"])
def test_the_laptop_may_go_as_soon_as_the_agent_has_started(
    state: str, person: Person, cloud: Cloud, store: Store
) -> None:
    waits = WAITS if state == "setting_up" else ""
    run_id = person.submits(own_code(person, waits + WRITES_A_RESULT, more=TO_BUCKET))
    person.waits_for_state(state)

    lids_down(person, cloud, run_id)

    assert index_of(store, run_id)["complete"] is True
    books_agree(comes_back(person, cloud), person, cloud, ended_by=["self"])


@pytest.mark.slow
def test_a_lost_machine_s_job_goes_on_from_its_checkpoint_in_the_bucket(
    person: Person, cloud: Cloud, store: Store
) -> None:
    more = f"{TO_BUCKET}checkpoints: {{every: 10s}}\n"
    run_id = person.submits(own_code(person, training(steps=6, waits_at=5), more=more))
    person.waits(lambda view: view["progress"].get("step") == 5)
    give_up_at = time.monotonic() + 60
    saved = "checkpoints/step-4/complete.json"
    while saved not in {one["path"] for one in others(store, run_id)}:
        assert time.monotonic() < give_up_at, "no checkpoint came"
        time.sleep(0.2)
    (machine,) = cloud.living(person.home_id)

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


def others(store: Store, run_id: str) -> list[dict[str, Any]]:
    key = f"team/mine-{run_id}/00/index.json"
    return list(json.loads(store.read(key))["others"]) if key in store.keys() else []  # noqa: SIM118


def test_no_signed_url_is_anywhere_but_on_the_machine(
    person: Person, cloud: Cloud, store: Store
) -> None:
    run_id = person.submits(own_code(person, WAITS, more=TO_BUCKET))
    person.waits_for_state("running")
    arguments = b"".join(path.read_bytes() for path in command_lines())
    cloud.says_go(run_id)
    person.types("attach", "last")

    assert index_of(store, run_id)["complete"] is True
    told = b"".join(path.read_bytes() for path in person.home.rglob("*") if path.is_file())
    told += b"".join(store.read(key) for key in store.keys(f"team/mine-{run_id}/"))
    for secret in (b"X-Amz-Signature", KEYS["AWS_SECRET_ACCESS_KEY"].encode()):
        assert secret not in told
        assert secret not in arguments


def command_lines() -> list[Path]:
    return [one for one in Path("/proc").glob("[0-9]*/cmdline") if one.exists()]


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        ({"to": "s3://no-such-bucket"}, "there is no such bucket", 4),
        ({"AWS_SESSION_TOKEN": "t"}, "do not say when they end", 4),
        (
            {"AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": "2999-01-01T00:00:00Z"},
            "",
            0,
        ),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "does not answer", 6),
    ],
)
def test_a_bucket_that_cannot_do_is_refused_before_anything_is_rented(
    changes: dict[str, str], words: str, code: int, person: Person, cloud: Cloud, store: Store
) -> None:
    to = changes.pop("to", f"s3://{BUCKET}/team")
    person.env.update(changes)
    job = own_code(person, more=f"artifacts: {{to: '{to}'}}\n")

    planned = person.types("plan", job)

    assert planned.code == code, planned.err
    assert words in planned.err.replace("\n", " ")
    assert not cloud.machines(person.home_id)
    assert not [key for key in store.keys("team") if "probe" in key]
