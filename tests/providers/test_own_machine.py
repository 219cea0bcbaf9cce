from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.providers.base import FolderAddress, MachineRequest
from orchestrator.providers.nvidia import FoundGpu
from orchestrator.providers.own_machine import (
    Computer,
    free_gpus,
    is_label,
    to_environment,
    to_facts,
    to_machine,
    to_offers,
)
from orchestrator.spec.resources import Need

LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
TOWER = Computer("ssh_host:tower", "tower", 62.7, "aarch64")


def gpu(uuid: str, name: str = "NVIDIA L4", used_gib: float = 0.0) -> FoundGpu:
    return FoundGpu(uuid, name, 22.5, used_gib, 8.9, "13.0")


def test_a_gpu_that_is_held_or_in_use_is_not_free() -> None:
    found = [gpu("GPU-1"), gpu("GPU-2", used_gib=5.0), gpu("GPU-3")]

    records: tuple[dict[str, object], ...] = (
        {"gpus": ["GPU-3"]},
        {"gpus": "spoilt"},
        {"gpus": [[]]},
        {},
    )
    machines = {f"mine-{n}": facts for n, facts in enumerate(records)}

    free = free_gpus(found, machines, 0.0)

    assert [one.uuid for one in free] == ["GPU-1"]


def test_a_gpu_is_held_until_the_deadline_of_its_machine_has_long_passed() -> None:
    deadline_s = int("trpyxc", 36)
    machines = {LABEL: {"gpus": ["GPU-1"]}}

    assert free_gpus([gpu("GPU-1")], machines, deadline_s + 900.0) == []
    assert free_gpus([gpu("GPU-1")], machines, deadline_s + 901.0) == [gpu("GPU-1")]


def test_free_gpus_of_a_card_are_one_offer_of_as_many_as_are_needed_and_there() -> None:
    free = [gpu("GPU-1"), gpu("GPU-2"), gpu("GPU-3", "NVIDIA RTX A6000")]

    offers = to_offers(TOWER, free, Need(gpu_count=2))

    assert [offer.id for offer in offers] == ["tower L4 x2", "tower RTX A6000 x1"]
    first = offers[0]
    assert (first.provider, first.gpu_memory_gib, first.cuda) == ("ssh_host:tower", 24, "13.0")
    assert (first.architecture, first.ram_gib, first.trust) == ("arm64", 62.7, "secure")
    assert first.price.usd_per_hour == Decimal(0)


def test_the_computer_without_gpus_is_an_offer_where_the_cpu_will_do() -> None:
    assert to_offers(TOWER, [], Need()) == []
    (offer,) = to_offers(TOWER, [], Need(allow_cpu=True))

    assert (offer.id, offer.gpu, offer.gpu_count, offer.gpu_memory_gib) == ("tower", "", 0, 0.0)


def test_what_a_folder_keeps_is_read_back_as_its_machine(tmp_path: Path) -> None:
    (offer,) = to_offers(TOWER, [gpu("GPU-1")], Need())
    request = MachineRequest(LABEL, offer, "image", 1, "key", "", {"A": "b"})

    machine = to_machine(LABEL, to_facts(request, ["GPU-1"], 12.5), FolderAddress(tmp_path))

    assert (machine.id, machine.label, machine.gpu, machine.gpu_count) == (LABEL, LABEL, "L4", 1)
    assert machine.created_at_s == 12.5
    assert to_environment(request, ["GPU-1"]) == {
        "A": "b",
        "GPULEASE_LABEL": LABEL,
        "CUDA_VISIBLE_DEVICES": "GPU-1",
    }


def test_a_spoilt_record_leaves_what_the_label_says(tmp_path: Path) -> None:
    machine = to_machine(LABEL, {"created_at": "x", "gpus": 5}, FolderAddress(tmp_path))

    assert machine.created_at_s == int("trpw5s", 36)
    assert machine.gpu_count == 0


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".new-x", "A", "x" * 65, "a\n"])
def test_what_is_no_plain_name_is_no_label(name: str) -> None:
    assert not is_label(name)
