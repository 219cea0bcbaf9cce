from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.errors import MissingCredentials
from orchestrator.lifecycle.cargo import (
    SETTINGS_FILE,
    RunCargo,
    run_file,
    settings,
)
from orchestrator.lifecycle.host_keys import given_host_key
from orchestrator.lifecycle.snapshot import keep_code
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.remote.folder import FolderShell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.spec.job import Job
from orchestrator.store.home import run_folder
from tests.lifecycle.clouds import FREE, GUARDED, SmallCloud, label
from tests.lifecycle.jobs import own_code, tickets
from tests.runs.samples import NOW_S, RUN_ID, launch, lease, run

LEASE = lease(label(), sent_s=NOW_S)


def run_of(job: Job, **changes: object) -> Run:
    program = "" if job.code else "text-classification"
    started = replace(launch(), program=program, secrets=job.secrets)
    started = replace(started, **changes)  # type: ignore[arg-type]
    return run(job=job.to_document(), launch=started, device="cpu", leases=(LEASE,))


def cargo(home: Path, secrets: dict[str, str] | None = None, *, free: bool = False) -> RunCargo:
    cloud = SmallCloud()
    if free:
        cloud.capabilities = FREE
    return RunCargo(home, lambda _: cloud, (secrets or {}).get)


def ship(made: RunCargo, run: Run, machine: Path, lease: Lease = LEASE) -> None:
    made.ship(run, lease, FolderShell(machine), lambda: None)


def test_the_newest_checkpoint_at_home_travels_to_the_next_machine(tmp_path: Path) -> None:
    made = cargo(tmp_path / "home")
    run = run_of(own_code(tmp_path))
    for step in (9, 10):
        folder = made.folder(run) / f"checkpoints/step-{step}"
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"weights of {step}")
        (folder / "complete.json").write_text("{}")
    (made.folder(run) / "checkpoints/.arriving-11").mkdir()
    machine = tmp_path / "machine"
    machine.mkdir()

    ship(made, run, machine)

    there = machine / protocol.CHECKPOINTS_DIR
    assert [path.name for path in there.iterdir()] == ["step-10"]
    assert (there / "step-10/weights").read_text() == "weights of 10"
    assert (there / "step-10/complete.json").exists()


def test_the_run_file_tells_the_agent_when_to_stop_and_when_to_end(tmp_path: Path) -> None:
    job = tickets(tmp_path, "env: {MODE: fast}\nsetup: echo hello\n")
    made = run_of(job, model_id="org/model", model_revision="abc", model_endpoint="http://hub")
    made = replace(made, launch=replace(made.launch, requirements={"cpu": "requirements.cpu.txt"}))

    record = run_file(made, LEASE, job)

    assert record["stop_at"] == LEASE.stop_s == NOW_S + 3600
    assert record["deadline_at"] == LEASE.deadline_s == NOW_S + 7200
    assert (record["run"], record["label"], record["created_at"]) == (RUN_ID, label(), NOW_S)
    assert record["model"] == {"id": "org/model", "revision": "abc", "endpoint": "http://hub"}
    assert (record["device"], record["requirements"]) == ("cpu", "requirements.cpu.txt")
    assert record["command"] == ["python", "train.py"]
    assert (record["setup"], record["environment"]) == ("echo hello", {"MODE": "fast"})
    assert record["protocol"] == protocol.PROTOCOL and record["ends_machine"] is True


def test_the_agent_is_told_the_rate_and_what_earlier_machines_cost(tmp_path: Path) -> None:
    job = tickets(tmp_path)
    lost = lease("lost", sent_s=NOW_S - 3600, gone_s=NOW_S - 1800)
    made = replace(run_of(job), leases=(lost, LEASE))

    assert run_file(made, LEASE, job)["cost"] == {"usd_per_hour": 0.6, "before_usd": 0.3}
    own = replace(LEASE, bills=False)
    assert run_file(run_of(job), own, job)["cost"] == {"usd_per_hour": 0.0, "before_usd": 0.0}


def test_a_machine_that_costs_nothing_is_not_ended_by_the_agent(tmp_path: Path) -> None:
    job = own_code(tmp_path)

    record = run_file(run_of(job), replace(LEASE, bills=False), job)

    assert record["ends_machine"] is False
    assert (record["command"], record["model"]) == ("python train.py", None)


def test_settings_name_data_as_it_lies_on_the_machine(tmp_path: Path) -> None:
    job = tickets(tmp_path)

    record = settings(run_of(job, columns={"text": "text", "label": "label"}).launch, job)

    assert record["data"] == {"train": "data/train.jsonl", "eval": "data/eval.jsonl"}
    assert record["columns"] == {"text": "text", "label": "label"}


def test_everything_that_the_agent_needs_arrives(tmp_path: Path) -> None:
    machine = tmp_path / "machine"

    ship(cargo(tmp_path / "home"), run_of(tickets(tmp_path)), machine)

    assert (machine / "code" / "train.py").is_file()
    assert (machine / "data" / "train.jsonl").read_text().count("\n") == 6
    assert json.loads((machine / protocol.RUN_FILE).read_text())["run"] == RUN_ID
    assert json.loads((machine / SETTINGS_FILE).read_text())["task"] == "text-classification"
    assert (machine / protocol.DEADLINE_FILE).read_text() == f"{int(NOW_S) + 7200}\n"
    assert (machine / protocol.AGENT).is_file()
    assert not (machine / protocol.SECRETS_FILE).is_symlink()


def test_what_runs_is_what_was_submitted(tmp_path: Path) -> None:
    job, home, machine = own_code(tmp_path), tmp_path / "home", tmp_path / "machine"
    keep_code(run_folder(home, RUN_ID), job)
    (tmp_path / "own" / "train.py").write_text("print('edited later')\n")
    (tmp_path / "own" / "new.py").touch()

    ship(cargo(home), run_of(job), machine)

    assert (machine / "code" / "train.py").read_text() == "print('first')\n"
    assert not (machine / "code" / "new.py").exists()
    assert stat.S_IMODE(run_folder(home, RUN_ID).stat().st_mode) == 0o700


def test_an_ignored_file_is_not_kept(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own" / ".gitignore").write_text("*.bin\n")
    (tmp_path / "own" / "big.bin").write_bytes(b"0" * 10)

    keep_code(run_folder(tmp_path / "home", RUN_ID), job)

    kept = run_folder(tmp_path / "home", RUN_ID) / "code"
    assert (kept / "train.py").is_file() and not (kept / "big.bin").exists()


def test_secrets_lie_in_a_private_file_and_in_no_other(tmp_path: Path) -> None:
    job = tickets(tmp_path, "secrets: [WANDB_API_KEY]\n")
    machine = tmp_path / "machine"
    values = {"WANDB_API_KEY": "s3cr3t-wandb"}
    known = {**values, "HF_TOKEN": "s3cr3t-hub"}

    ship(cargo(tmp_path / "home", known), run_of(job), machine)

    link = machine / protocol.SECRETS_FILE
    target = link.resolve()
    try:
        assert json.loads(link.read_text()) == values
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        files = [path for path in machine.rglob("*") if path.is_file() and path != link]
        assert not [path for path in files if b"s3cr3t" in path.read_bytes() and path != target]
    finally:
        target.unlink()


def test_on_an_own_computer_secrets_go_with_the_work_folder(tmp_path: Path) -> None:
    job = tickets(tmp_path, "secrets: [WANDB_API_KEY]\n")
    machine = tmp_path / "machine"
    values = {"WANDB_API_KEY": "s3cr3t-wandb"}

    ship(cargo(tmp_path / "home", values), run_of(job), machine, replace(LEASE, bills=False))

    path = machine / protocol.SECRETS_FILE
    assert not path.is_symlink()
    assert json.loads(path.read_text()) == values
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_without_a_value_is_told_by_its_name(tmp_path: Path) -> None:
    job = tickets(tmp_path, "secrets: [WANDB_API_KEY]\n")

    with pytest.raises(MissingCredentials, match="WANDB_API_KEY") as caught:
        ship(cargo(tmp_path / "home"), run_of(job), tmp_path / "machine")

    assert caught.value.hint == "gpulease login WANDB_API_KEY"


def test_a_request_carries_the_runs_key_and_the_boot_guard(tmp_path: Path) -> None:
    made, asked = cargo(tmp_path), run_of(tickets(tmp_path))

    request = made.request(asked, LEASE)

    assert request.label == label() and str(int(NOW_S) + 7200) in request.start_command
    assert request.public_key.startswith("ssh-ed25519 ")
    assert stat.S_IMODE(made.private_key(asked).stat().st_mode) == 0o600
    assert made.request(asked, LEASE).public_key == request.public_key


def test_where_the_agent_ends_the_machine_there_is_no_boot_guard(tmp_path: Path) -> None:
    request = cargo(tmp_path, free=True).request(run_of(tickets(tmp_path)), LEASE)

    assert request.start_command == ""


def test_a_request_avoids_the_places_where_a_machine_of_the_run_did_not_come_up(
    tmp_path: Path,
) -> None:
    leases = (
        lease("a", region="EU-SE-1", failed_boot_s=NOW_S),
        lease("b", region="EU-RO-1"),
        lease("c", region="Oregon", failed_boot_s=NOW_S, provider="another"),
        lease("d", failed_boot_s=NOW_S),
        LEASE,
    )
    made = replace(run_of(own_code(tmp_path)), leases=leases)

    assert cargo(tmp_path / "home").request(made, LEASE).avoid == ("EU-SE-1",)


UNGUARDED = Capabilities(guard=GuardWay.NONE, container_images=False, takes_host_key=True)


def test_a_whole_computer_is_given_a_host_key_and_neither_image_nor_guard(tmp_path: Path) -> None:
    cloud = SmallCloud()
    cloud.capabilities = UNGUARDED
    made = RunCargo(tmp_path / "home", lambda _: cloud, lambda _: None)
    run = run_of(own_code(tmp_path))

    asked = made.request(run, LEASE)

    assert (asked.image, asked.start_command) == ("", "")
    assert asked.host_private_key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert given_host_key(made.folder(run), LEASE.label) in asked.host_public_key
    assert made.request(run, LEASE).host_private_key == asked.host_private_key
    assert asked.public_key != asked.host_public_key
    assert "PRIVATE" not in repr(asked)


@pytest.mark.parametrize(("facts", "ends"), [(UNGUARDED, False), (GUARDED, True), (FREE, True)])
def test_an_agent_is_told_to_end_its_machine_where_there_is_a_way_to(
    tmp_path: Path, facts: Capabilities, ends: bool
) -> None:
    cloud = SmallCloud()
    cloud.capabilities = facts
    job = own_code(tmp_path)

    made = RunCargo(tmp_path, lambda _: cloud, lambda _: None)

    assert made.run_file(run_of(job), LEASE, job)["ends_machine"] is ends
