from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.clock import FakeClock
from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    UsageError,
)
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    MachineRequest,
    OwnLogin,
    ProviderSettings,
    SshAddress,
    same_account,
)
from orchestrator.providers.ssh_host import SshHost, build
from orchestrator.providers.wrappers import stacked
from orchestrator.remote.keys import make_key_pair
from orchestrator.spec.resources import Need
from tests.providers.ssh_host.workstation import Workstation

LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
OTHER = "gl1-homeid-runid123-02-trpw5s-trpyxc"
CPU = Need(allow_cpu=True)


def request(offer: Offer, label: str = LABEL) -> MachineRequest:
    return MachineRequest(label, offer, "image", 1, "ssh-ed25519 AAAA", "", {"A": "b"})


def rent(tower: SshHost, label: str = LABEL, need: Need = CPU) -> Path:
    """The new machine's folder, as the workstation's own user sees it."""
    tower.create_machine(request(tower.list_offers(need)[0], label))
    return Path("gpulease") / label


def test_the_workstations_facts_are_its_offers(tower: SshHost, workstation: Workstation) -> None:
    workstation.has_gpus(300, 20_000, 0)

    gpu, cpu = tower.list_offers(Need(gpu_count=2, allow_cpu=True))

    assert (gpu.id, gpu.provider, gpu.cuda) == ("tower L4 x2", "ssh_host:tower", "13.0")
    assert (gpu.compute_capability, gpu.trust) == (8.9, "secure")
    assert (cpu.id, cpu.gpu_count) == ("tower", 0)
    assert workstation.listing() == set()


def test_gpus_that_are_all_in_use_are_no_offer(tower: SshHost, workstation: Workstation) -> None:
    workstation.has_gpus(20_000, 4_000)

    assert tower.list_offers(Need()) == []


def test_a_gpu_taken_meanwhile_is_no_capacity(tower: SshHost, workstation: Workstation) -> None:
    workstation.has_gpus(0)
    (offer,) = tower.list_offers(Need())
    workstation.has_gpus(9_000)

    with pytest.raises(NoCapacity, match="in use"):
        tower.create_machine(request(offer))
    assert workstation.listing() == set()


def test_of_many_who_want_one_gpu_at_once_one_gets_it(
    new_tower: Callable[[], SshHost], workstation: Workstation
) -> None:
    workstation.has_gpus(0)
    towers = [new_tower() for _ in range(4)]
    offers = [tower.list_offers(Need())[0] for tower in towers]
    got: list[str] = []

    def create(tower: SshHost, offer: Offer, label: str) -> None:
        try:
            got.append(tower.create_machine(request(offer, label)).id)
        except NoCapacity:
            got.append("none")

    threads = [
        threading.Thread(target=create, args=(tower, offer, f"{LABEL[:-1]}{n}"))
        for n, (tower, offer) in enumerate(zip(towers, offers, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got)[1:] == ["none"] * 3
    assert [machine.id for machine in towers[0].list_machines()] == [min(got)]
    assert towers[0].list_offers(Need()) == []


def test_past_its_deadline_a_machine_that_is_still_there_holds_no_gpu(
    tower: SshHost, workstation: Workstation, clock: FakeClock
) -> None:
    workstation.has_gpus(0)
    (offer,) = tower.list_offers(Need())
    tower.create_machine(request(offer))
    with pytest.raises(NoCapacity, match="in use"):
        tower.create_machine(request(offer, OTHER))

    clock.advance(100_000.0)
    assert tower.list_offers(Need()) == [offer]
    late = tower.create_machine(request(offer, f"{LABEL[:-6]}zzzzzz"))

    assert {machine.id for machine in tower.list_machines()} == {LABEL, late.id}
    assert tower.list_offers(Need()) == []


def test_a_machine_is_its_own_folder_and_keeps_its_caches_there(
    tower: SshHost, workstation: Workstation, clock: FakeClock
) -> None:
    workstation.has_gpus(0, 0)

    machine = tower.create_machine(request(tower.list_offers(Need())[0]))

    folder = workstation.home / "gpulease" / LABEL
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    environment = folder / protocol.ENVIRONMENT_FILE
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    words = dict(entry.split("=", 1) for entry in environment.read_text().split("\0") if entry)
    assert words["A"] == "b"
    assert (words["GPULEASE_LABEL"], words["CUDA_VISIBLE_DEVICES"]) == (LABEL, "GPU-1")
    kept = ["XDG_CACHE_HOME", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "HF_HOME"]
    kept += ["CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"]
    assert all(Path(words[name]).is_relative_to(folder) for name in kept)
    at = workstation.host()
    assert machine.address == SshAddress(at.address, at.port, at.user)
    assert (machine.gpu, machine.gpu_count, machine.created_at_s) == ("L4", 1, clock.now_s())


def test_deleting_leaves_the_home_as_it_was(tower: SshHost, workstation: Workstation) -> None:
    precious = workstation.home / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("text")
    before = workstation.listing()
    folder = workstation.home / rent(tower)
    (folder / "link").symlink_to(precious)
    locked = folder / "locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0o500)

    tower.delete_machine(LABEL)

    assert workstation.listing() == before
    with pytest.raises(MachineNotFound):
        tower.get_machine(LABEL)


def test_deleting_one_leaves_the_other_and_what_is_not_ours(
    tower: SshHost, workstation: Workstation
) -> None:
    rent(tower, LABEL)
    rent(tower, OTHER)
    (workstation.home / "gpulease/notes").mkdir()

    tower.delete_machine(LABEL)

    left = sorted(path.name for path in (workstation.home / "gpulease").iterdir())
    assert left == [OTHER, "notes"]
    assert [machine.id for machine in tower.list_machines()] == [OTHER]


def test_a_link_in_place_of_a_machine_is_neither_listed_nor_followed(
    tower: SshHost, workstation: Workstation, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (workstation.home / "gpulease").mkdir()
    (workstation.home / "gpulease" / LABEL).symlink_to(precious)

    assert tower.list_machines() == []
    with pytest.raises(MachineNotFound):
        tower.get_machine(LABEL)
    tower.delete_machine(LABEL)
    with pytest.raises(InvalidRequest):
        rent(tower)

    assert precious.is_dir()


def test_a_machine_lives_as_long_as_its_processes(tower: SshHost, workstation: Workstation) -> None:
    output = workstation.home / "gpulease" / LABEL / "output"
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
        env={**os.environ, "GPULEASE_OUTPUT": str(output)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert tower.get_machine(LABEL).id == LABEL
        assert [machine.id for machine in tower.list_machines()] == [LABEL]
        tower.delete_machine(LABEL)

        process.wait(5)
    with pytest.raises(MachineNotFound):
        tower.get_machine(LABEL)


@pytest.mark.parametrize("machine_id", ["", "..", "../x", "a/b", ".ssh", "A", "x" * 65])
def test_an_id_that_is_no_folder_name_of_ours_touches_nothing(
    tower: SshHost, machine_id: str
) -> None:
    for call in (tower.get_machine, tower.delete_machine, tower.open_shell):
        with pytest.raises(InvalidRequest):
            call(machine_id)


def test_a_workstation_that_is_off_proves_nothing_and_rents_nothing(
    tower: SshHost, workstation: Workstation, clock: FakeClock
) -> None:
    (offer,) = tower.list_offers(CPU)
    workstation.sshd.stop()

    for call in (tower.list_machines, tower.identity, lambda: tower.get_machine(LABEL)):
        with pytest.raises(ProviderDown):
            call()
    with pytest.raises(ProviderDown, match="tower does not answer") as caught:
        tower.delete_machine(LABEL)
    assert "ssh" in caught.value.hint
    with pytest.raises(NoCapacity, match="does not answer"):
        tower.create_machine(request(offer))

    workstation.sshd.start()
    clock.advance(10)
    assert tower.list_machines() == []


def test_who_did_not_answer_is_not_asked_again_at_once(
    tower: SshHost, workstation: Workstation, clock: FakeClock
) -> None:
    workstation.sshd.stop()
    with pytest.raises(ProviderDown):
        tower.list_machines()
    workstation.sshd.start()

    with pytest.raises(ProviderDown):
        tower.list_machines()
    clock.advance(6)
    assert tower.list_machines() == []


def test_a_line_that_breaks_amid_a_create_is_unknown_and_the_label_tells(
    tower: SshHost, workstation: Workstation
) -> None:
    workstation.has_gpus(0)
    (offer,) = tower.list_offers(Need())
    with workstation.hanging_at_create() as asked, ThreadPoolExecutor() as pool:
        created = pool.submit(tower.create_machine, request(offer))
        while not asked.exists():
            assert not created.done()
        workstation.sshd.cut()
        with pytest.raises(OutcomeUnknown):
            created.result()

    found = [machine.label for machine in tower.list_machines()]
    assert found in ([], [LABEL])


def test_a_refused_login_is_bad_credentials(workstation: Workstation, tmp_path: Path) -> None:
    foreign = make_key_pair(tmp_path / "foreign").private_path
    tower = SshHost(replace(workstation.host(), key=foreign), tmp_path)

    with pytest.raises(BadCredentials, match="refused the login"):
        tower.list_offers(CPU)


def test_a_workstation_without_python_says_so(tower: SshHost, workstation: Workstation) -> None:
    workstation.sshd.stop()
    tools = workstation.home.parent / "tools"
    tools.mkdir()
    for name in ("sh", "cat"):
        (tools / name).symlink_to(f"/bin/{name}")
    workstation.sshd.environment = f"PATH={tools}"
    workstation.sshd.start()

    with pytest.raises(ProviderDown, match="python3"):
        tower.list_offers(CPU)


def test_the_identity_is_that_computer_and_login(
    new_tower: Callable[[], SshHost],
) -> None:
    one, other = new_tower(), new_tower()

    assert one.identity().startswith("user:")
    assert same_account(one.identity(), other.identity()) is True
    assert one.balance_usd() is None


def test_a_shell_and_a_login_go_to_the_machine(tower: SshHost, workstation: Workstation) -> None:
    folder = workstation.home / rent(tower)
    wrapped = stacked(tower)
    assert isinstance(wrapped, OwnLogin)
    assert isinstance(wrapped, Account)

    shell = wrapped.open_shell(LABEL)
    assert shell.run("pwd").stdout.decode().strip() == str(folder)
    shell.close()
    assert wrapped.login_command(LABEL)[-2:] == ["--", "127.0.0.1"]


def test_without_a_host_there_is_nothing_to_build(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build(ProviderSettings(home=tmp_path))
