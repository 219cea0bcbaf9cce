"""A person's own workstation, from the command line: a second sshd of this computer is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import WRITES_A_RESULT, own_code, training
from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation


def machine_of(tower: Workstation) -> Path:
    """The folder of the one machine there is."""
    (folder,) = tower.home.glob("gpulease/gl1-*")
    return folder


def needs_gpu(owner: Person, job: str) -> str:
    """The job of own code, which now asks for a GPU."""
    text = (owner.desk / job).read_text().replace("allow_cpu: true", "memory_gib: 20")
    (owner.desk / job).write_text(text)
    return job


def says_go(tower: Workstation) -> None:
    """A program that waits for a word goes on."""
    (machine_of(tower) / "code/go").touch()


def waits_for_step(owner: Person, step: int) -> None:
    owner.waits(lambda view: view["progress"].get("step", 0) >= step)


def test_a_job_runs_on_the_workstation_and_leaves_it_as_it_was(
    owner: Person, tower: Workstation
) -> None:
    before = tower.listing()
    job = own_code(owner, WRITES_A_RESULT)

    ended = owner.types("submit", job, "--provider", "ssh_host", "--yes", "--json")

    assert ended.code == 0, ended.err + owner.driver_log()
    receipt = ended.json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", "ssh_host:tower")
    assert (receipt["offer"]["id"], receipt["cost_usd"]) == ("tower L4 x1", "0.00")
    assert receipt["returned"]["proven"] is True
    assert receipt["host_key_by"] == "your OpenSSH"
    assert Path(receipt["artifacts_dir"], "result.txt").read_text() == "forty-two\n"
    assert tower.listing() == before


@pytest.mark.slow
def test_a_cancelled_job_saves_itself_and_leaves_nothing_behind(
    owner: Person, tower: Workstation
) -> None:
    before = tower.listing()
    job = own_code(owner, training(steps=6, saves_every=6, waits_at=3))
    owner.submits(job, "--on", "ssh_host:tower")
    waits_for_step(owner, 3)

    owner.types("cancel", "mine")
    ended = owner.types("attach", "mine")

    assert ended.code == 9, ended.err + owner.driver_log()
    view = owner.view()
    assert (view["outcome"], view["returned"]["proven"]) == ("cancelled", True)
    assert Path(view["artifacts_dir"], "stopped.txt").read_text() == "signal 15 after step 3\n"
    assert tower.listing() == before


@pytest.mark.slow
def test_a_killed_driver_is_followed_by_one_that_finds_the_same_machine(
    owner: Person, tower: Workstation
) -> None:
    job = own_code(owner, training(steps=4, waits_at=2))
    owner.submits(job, "--on", "ssh_host")
    waits_for_step(owner, 2)
    owner.kills_driver()
    says_go(tower)

    ended = owner.types("attach", "mine")

    assert ended.code == 0, ended.err + owner.driver_log()
    view = owner.view()
    assert len(view["machines"]) == 1
    trained = Path(view["artifacts_dir"], "trained.json")
    assert json.loads(trained.read_text()) == {"steps": [1, 2, 3, 4], "lives": 1}


@pytest.mark.slow
def test_a_workstation_that_is_gone_for_a_while_is_waited_for(
    owner: Person, tower: Workstation
) -> None:
    job = own_code(owner, training(steps=4, waits_at=2))
    owner.submits(job, "--on", "ssh_host")
    waits_for_step(owner, 2)

    tower.sshd.stop()
    owner.waits(lambda view: "does not answer" in view["waiting"])
    says_go(tower)
    tower.sshd.start()
    ended = owner.types("attach", "mine")

    assert ended.code == 0, ended.err + owner.driver_log()
    assert len(owner.view()["machines"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("gently_s", [0.0, 5.0], ids=["power cut", "shut down"])
def test_a_restart_in_mid_job_costs_only_what_came_after_the_newest_checkpoint(
    owner: Person, tower: Workstation, gently_s: float
) -> None:
    before = tower.listing()
    owner.writes("trainer/needs.txt", "six==1.17.0\n")
    job = own_code(owner, training(steps=6, waits_at=5), requirements="needs.txt")
    owner.submits(job, "--on", "ssh_host")
    waits_for_step(owner, 5)

    tower.reboots(gently_s=gently_s)
    says_go(tower)
    ended = owner.types("attach", "mine", limit_s=180.0)

    assert ended.code == 0, ended.err + owner.driver_log()
    view = owner.view()
    assert len(view["machines"]) == 1
    trained = json.loads(Path(view["artifacts_dir"], "trained.json").read_text())
    assert trained == {"steps": [1, 2, 3, 4, 5, 6], "lives": 2}
    log = owner.types("logs", "mine").out
    assert log.count("step 4\n") == 1, "it went on from its checkpoint"
    assert "the environment is as this job needs it" in log
    assert any("was restarted" in note for note in view["notes"])
    assert tower.listing() == before


def test_a_gpu_in_use_is_no_offer(owner: Person, tower: Workstation) -> None:
    job = needs_gpu(owner, own_code(owner))
    assert owner.types("plan", job, "--on", "ssh_host", "--json").json()["offers"]
    tower.has_gpus(9_000)

    ended = owner.types("submit", job, "--on", "ssh_host", "--yes", "--json")

    assert ended.code == 3
    assert not (tower.home / "gpulease").exists()


@pytest.mark.slow
def test_a_gpu_that_one_job_holds_is_no_offer_for_another(
    owner: Person, tower: Workstation
) -> None:
    first = own_code(owner, training(steps=4, waits_at=2), name="first")
    owner.submits(first, "--on", "ssh_host")
    waits_for_step(owner, 2)
    second = needs_gpu(owner, own_code(owner, training(steps=4, waits_at=2), name="second"))

    assert owner.types("submit", second, "--on", "ssh_host", "--yes").code == 3

    says_go(tower)
    assert owner.types("attach", "first").code == 0
    plan = owner.types("plan", second, "--on", "ssh_host", "--json").json()
    assert [offer["id"] for offer in plan["offers"]] == ["tower L4 x1"]


def test_a_workstation_that_is_off_hides_no_other(owner: Person, tower: Workstation) -> None:
    off = f'[hosts.attic]\nhost = "127.0.0.1"\nport = 1\nhost_key = "{tower.sshd.host_key}"\n'
    owner.config.write_text(tower.config() + off)

    ended = owner.types("offers", "--json")

    answer = ended.json()
    assert {offer["provider"] for offer in answer["offers"]} == {"ssh_host:tower"}
    assert "ssh_host:attic: attic does not answer" in json.dumps(answer)

    job = own_code(owner)
    alone = owner.types("submit", job, "--on", "ssh_host:attic", "--yes", "--json")
    assert alone.code == 6
    assert "attic does not answer" in alone.json()["error"]["problem"]
    unknown = owner.types("submit", job, "--on", "ssh_host:cellar", "--yes", "--json")
    assert unknown.code == 2
    assert "tower" in unknown.json()["error"]["hint"]


@pytest.fixture
def pair(owner: Person, tower: Workstation, tmp_path: Path) -> Iterator[dict[str, Workstation]]:
    """Two workstations of one owner, by the names of their accounts."""
    attic = Workstation(tmp_path / "attic", tower.clock)
    attic.has_gpus(0)
    attic.sshd.start()
    owner.config.write_text(tower.config() + attic.config("attic"))
    yield {"ssh_host:tower": tower, "ssh_host:attic": attic}
    attic.sshd.stop()


def with_gpu(owner: Person, job: str) -> list[str]:
    """The accounts of a plan's offers of GPUs, in the order in which they are tried."""
    plan = owner.types("plan", job, "--on", "ssh_host", "--json").json()
    return [offer["provider"] for offer in plan["offers"] if offer["gpu"]]


@pytest.mark.slow
def test_two_workstations_side_by_side_do_two_jobs_at_once(
    owner: Person, pair: dict[str, Workstation]
) -> None:
    before = {name: one.listing() for name, one in pair.items()}
    script = training(steps=4, waits_at=2)
    jobs = {name: own_code(owner, script, name=name) for name in ("one", "two")}
    first, second = with_gpu(owner, jobs["one"])

    runs = {}
    for name, job in jobs.items():
        runs[name] = owner.submits(job, "--on", "ssh_host")
        waits_for_step(owner, 2)
        if name == "one":
            assert with_gpu(owner, jobs["two"]) == [second], "the other's GPU is held"
    for workstation in pair.values():
        says_go(workstation)

    for name, account in (("one", first), ("two", second)):
        ended = owner.types("attach", runs[name], "--json")
        assert ended.code == 0, ended.err + owner.driver_log()
        receipt = owner.view(runs[name])
        assert (receipt["provider"], receipt["returned"]["proven"]) == (account, True)
        assert Path(receipt["artifacts_dir"], "trained.json").exists()
    assert {name: one.listing() for name, one in pair.items()} == before


@pytest.mark.slow
def test_a_gpu_that_is_taken_behind_the_plan_sends_the_job_to_the_other_workstation(
    owner: Person, pair: dict[str, Workstation]
) -> None:
    before = {name: one.listing() for name, one in pair.items()}
    job = own_code(owner)
    first, second = with_gpu(owner, job)
    pair[first].has_gpus(0, soon_mib=9_000)

    ended = owner.types("submit", job, "--on", "ssh_host", "--yes", "--json")

    assert ended.code == 0, ended.err + owner.driver_log()
    receipt = ended.json()
    assert (receipt["outcome"], receipt["provider"]) == ("succeeded", second)
    assert "its GPUs are in use" in owner.driver_log()
    assert {name: one.listing() for name, one in pair.items()} == before
