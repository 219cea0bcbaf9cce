from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.clock import FakeClock
from orchestrator.errors import (
    InvalidRequest,
    MachineNotFound,
    NoCapacity,
    ProviderDown,
)
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import FolderAddress, MachineRequest
from orchestrator.providers.local import Local
from orchestrator.spec.resources import Need

LABEL = "gl1-homeid-runid124-01-trpw5s-trpyxc"
OTHER = "gl1-homeid-runid124-02-trpw5s-trpyxc"
LATE = "gl1-homeid-runid124-03-trpw5s-zzzzzz"
LONG_PAST_ITS_DEADLINE_S = 100_000.0
CPU = Need(allow_cpu=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def local(tmp_path: Path, clock: FakeClock) -> Local:
    """This computer as if it had no GPU."""
    return Local(tmp_path, clock=clock, nvidia_smi=str(tmp_path / "none"))


@pytest.fixture
def with_gpus(tmp_path: Path, clock: FakeClock) -> Callable[..., Local]:
    """This computer as if nvidia-smi printed these rows."""

    def make(*rows: str) -> Local:
        program = tmp_path / "nvidia-smi"
        lines = "\n".join(rows)
        program.write_text(f'#!/bin/sh\n[ $# = 0 ] || cat <<"END"\n{lines}\nEND\n')
        program.chmod(0o755)
        return Local(tmp_path, clock=clock, nvidia_smi=str(program))

    return make


def request(offer: Offer, label: str = LABEL) -> MachineRequest:
    return MachineRequest(label, offer, "image", 1, "ssh-ed25519 AAAA", "", {"A": "b"})


def offer_of(provider: Local, need: Need = CPU) -> Offer:
    return provider.list_offers(need)[0]


def test_without_a_gpu_there_is_an_offer_only_where_the_cpu_will_do(local: Local) -> None:
    (offer,) = local.list_offers(CPU)

    assert local.list_offers(Need()) == []
    assert (offer.gpu, offer.gpu_count, offer.price.usd_per_hour) == ("", 0, Decimal(0))
    assert offer.ram_gib is not None
    assert offer.ram_gib > 0
    need = replace(CPU, architecture=offer.architecture, trust="secure")
    assert select(need, [offer], lambda _: Decimal(0)).candidates == [offer]


def test_free_gpus_of_one_card_are_one_offer(with_gpus: Callable[..., Local]) -> None:
    local = with_gpus(
        "GPU-1, NVIDIA GeForce RTX 4090, 24564, 300, 8.9",
        "GPU-2, NVIDIA GeForce RTX 4090, 24564, 20000, 8.9",
        "GPU-3, NVIDIA GeForce RTX 4090, 24564, 0, 8.9",
        "GPU-4, NVIDIA RTX A6000, 49140, 0, 8.6",
    )

    offers = local.list_offers(Need(gpu_count=4))

    assert [(offer.gpu, offer.gpu_count) for offer in offers] == [("RTX 4090", 2), ("RTX A6000", 1)]


def test_a_gpu_that_a_machine_holds_is_no_offer_until_it_is_returned(
    with_gpus: Callable[..., Local],
) -> None:
    local = with_gpus("GPU-1, NVIDIA L4, 23034, 0, 8.9")
    offer = offer_of(local, Need())
    local.create_machine(request(offer))

    assert local.list_offers(Need()) == []
    with pytest.raises(NoCapacity):
        local.create_machine(request(offer, OTHER))

    local.delete_machine(LABEL)
    assert local.list_offers(Need()) == [offer]


def test_past_its_deadline_a_machine_that_is_still_there_holds_no_gpu(
    with_gpus: Callable[..., Local], clock: FakeClock
) -> None:
    local = with_gpus("GPU-1, NVIDIA L4, 23034, 0, 8.9")
    offer = offer_of(local, Need())
    left = local.create_machine(request(offer))

    clock.advance(LONG_PAST_ITS_DEADLINE_S)
    late = local.create_machine(request(offer_of(local, Need()), LATE))

    assert local.list_machines() == [left, late]
    assert local.list_offers(Need()) == []


def test_a_machine_is_its_own_folder_with_its_environment(local: Local, clock: FakeClock) -> None:
    machine = local.create_machine(request(offer_of(local)))

    assert (machine.id, machine.label, machine.created_at_s) == (LABEL, LABEL, clock.now_s())
    assert isinstance(machine.address, FolderAddress)
    path = machine.address.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    environment = path / protocol.ENVIRONMENT_FILE
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    assert environment.read_bytes().split(b"\0") == [
        b"A=b",
        b"GPULEASE_LABEL=" + LABEL.encode(),
        b"CUDA_VISIBLE_DEVICES=",
        b"",
    ]


def test_a_machine_sees_only_the_gpus_that_it_holds(with_gpus: Callable[..., Local]) -> None:
    local = with_gpus("GPU-1, NVIDIA L4, 23034, 0, 8.9", "GPU-2, NVIDIA L4, 23034, 0, 8.9")
    machine = local.create_machine(request(offer_of(local, Need())))

    assert isinstance(machine.address, FolderAddress)
    text = (machine.address.path / protocol.ENVIRONMENT_FILE).read_text()
    assert "CUDA_VISIBLE_DEVICES=GPU-1\0" in text
    assert (machine.gpu, machine.gpu_count) == ("L4", 1)


def test_a_second_create_of_one_label_leaves_the_first_alone(local: Local) -> None:
    first = local.create_machine(request(offer_of(local)))

    with pytest.raises(InvalidRequest):
        local.create_machine(request(offer_of(local)))
    assert local.list_machines() == [first]


def test_a_create_that_died_half_way_is_no_machine_and_hinders_no_later_one(
    local: Local, tmp_path: Path
) -> None:
    (tmp_path / "gpulease" / f".new-{LABEL}").mkdir(parents=True)

    assert local.list_machines() == []
    assert local.create_machine(request(offer_of(local))).id == LABEL


def test_a_home_that_cannot_be_written_rents_nothing(tmp_path: Path) -> None:
    local = Local(tmp_path)
    offer = offer_of(local)
    (tmp_path / "gpulease").write_text("a file")

    with pytest.raises(NoCapacity):
        local.create_machine(request(offer))


def test_a_machine_with_a_spoilt_record_is_still_a_machine(local: Local, tmp_path: Path) -> None:
    local.create_machine(request(offer_of(local)))
    (tmp_path / "gpulease" / LABEL / "machine.json").write_text("{")

    (machine,) = local.list_machines()

    assert machine.created_at_s == int("trpw5s", 36)
    assert local.get_machine(LABEL) == machine


def test_deleting_removes_the_folder_and_only_it(local: Local, tmp_path: Path) -> None:
    local.create_machine(request(offer_of(local)))
    local.create_machine(request(offer_of(local), OTHER))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("text")
    folder = tmp_path / "gpulease" / LABEL
    (folder / "link").symlink_to(precious)
    locked = folder / "locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0o500)

    local.delete_machine(LABEL)

    assert not folder.exists()
    assert (precious / "thesis").read_text() == "text"
    assert [machine.id for machine in local.list_machines()] == [OTHER]


def test_a_folder_deeper_than_python_goes_is_removed(local: Local, tmp_path: Path) -> None:
    local.create_machine(request(offer_of(local)))
    folder = tmp_path / "gpulease" / LABEL
    here = os.open(folder, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)

    local.delete_machine(LABEL)

    assert not folder.exists()


def test_a_link_in_place_of_a_machine_is_neither_listed_nor_followed(
    local: Local, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "gpulease").mkdir()
    (tmp_path / "gpulease" / LABEL).symlink_to(precious)

    assert local.list_machines() == []
    with pytest.raises(MachineNotFound):
        local.get_machine(LABEL)
    local.delete_machine(LABEL)

    assert precious.is_dir()


@pytest.mark.parametrize("machine_id", ["", ".", "..", "../x", "a/b", ".new-x", "A", "x" * 65])
def test_an_id_that_is_no_folder_name_of_ours_touches_nothing(
    local: Local, machine_id: str
) -> None:
    for call in (local.get_machine, local.delete_machine):
        with pytest.raises(InvalidRequest):
            call(machine_id)
    with pytest.raises(InvalidRequest):
        local.create_machine(request(offer_of(local), machine_id))


def test_a_home_that_is_not_there_proves_no_absence(tmp_path: Path) -> None:
    local = Local(tmp_path / "unmounted")

    for call in (local.list_machines, lambda: local.get_machine(LABEL)):
        with pytest.raises(ProviderDown):
            call()


def test_a_machine_whose_folder_is_gone_lives_as_long_as_its_processes(local: Local) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
        env={**os.environ, "GPULEASE_LABEL": LABEL},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert local.get_machine(LABEL).id == LABEL
        local.delete_machine(LABEL)

        process.wait(5)
    with pytest.raises(MachineNotFound):
        local.get_machine(LABEL)


def test_the_identity_is_this_computer_whatever_the_home(tmp_path: Path) -> None:
    identity = Local(tmp_path / "a").identity()

    assert identity == Local(tmp_path / "b").identity()
    assert identity.startswith("user:")
    assert Local(tmp_path).balance_usd() is None


def test_what_is_written_is_json(local: Local, tmp_path: Path, clock: FakeClock) -> None:
    local.create_machine(request(offer_of(local)))

    facts = json.loads((tmp_path / "gpulease" / LABEL / "machine.json").read_text())
    assert facts == {"created_at": clock.now_s(), "gpu": "", "gpus": []}
