from __future__ import annotations

import pytest

from orchestrator.offers.gpus import CARDS, canonical, card, names

# RunPod's ids of its documentation's table (2026-11), byte for byte.
RUNPOD_IDS = {
    "NVIDIA RTX A4000": "RTX A4000",
    "NVIDIA RTX 2000 Ada Generation": "RTX 2000 Ada",
    "NVIDIA RTX A4500": "RTX A4500",
    "NVIDIA  RTX A4500": "RTX A4500",
    "NVIDIA RTX 4000 Ada Generation": "RTX 4000 Ada",
    "NVIDIA GeForce RTX 3090": "RTX 3090",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "NVIDIA RTX A5000": "RTX A5000",
    "NVIDIA L4": "L4",
    "NVIDIA  A30": "A30",
    "NVIDIA GeForce RTX 5090": "RTX 5090",
    "NVIDIA RTX 5000 Ada Generation": "RTX 5000 Ada",
    "NVIDIA A40": "A40",
    "NVIDIA RTX A6000": "RTX A6000",
    "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada",
    "NVIDIA L40": "L40",
    "NVIDIA L40S": "L40S",
    "NVIDIA A100 80GB PCIe": "A100 80GB PCIe",
    "NVIDIA A100-SXM4-80GB": "A100 80GB SXM",
    "NVIDIA H100 PCIe": "H100 PCIe",
    "NVIDIA H100 80GB HBM3": "H100 SXM",
    "NVIDIA H100 NVL": "H100 NVL",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000",
    "NVIDIA H200": "H200 SXM",
    "NVIDIA H200 NVL": "H200 NVL",
    "NVIDIA B200": "B200",
    "NVIDIA B300 SXM6 AC": "B300",
    "AMD Instinct MI300X OAM": "MI300X",
}
# What nvidia-smi prints for cards that RunPod does not rent.
DRIVER_NAMES = {
    "Tesla T4": "T4",
    "Tesla V100-SXM2-16GB": "V100 SXM2 16GB",
    "NVIDIA A100-PCIE-40GB": "A100 40GB PCIe",
    "NVIDIA A100-SXM4-40GB": "A100 40GB SXM",
    "NVIDIA A10": "A10",
    "NVIDIA GH200 480GB": "GH200",
}


@pytest.mark.parametrize(("word", "name"), [*RUNPOD_IDS.items(), *DRIVER_NAMES.items()])
def test_a_providers_word_is_one_card(word: str, name: str) -> None:
    found = card(word)

    assert found is not None
    assert found.name == canonical(word) == name


def test_no_name_means_two_cards() -> None:
    every = [name for gpu in CARDS for name in (gpu.name, *gpu.aliases)]
    owners = [card(name) for name in every]

    assert len(set(every)) == len(every)
    assert [owner.name for owner in owners if owner] == [
        gpu.name for gpu in CARDS for _ in (gpu.name, *gpu.aliases)
    ]


def test_every_card_has_the_figures_that_a_filter_needs() -> None:
    for gpu in CARDS:
        assert gpu.memory_gib > 0
        if gpu.bf16_tflops is not None:
            assert gpu.compute_capability is None or gpu.compute_capability >= 8.0
        assert (gpu.fp16_tflops is None) == (gpu.bandwidth_gb_s is None)


def test_a_card_older_than_ampere_has_no_bf16() -> None:
    without = {gpu.name for gpu in CARDS if gpu.fp16_tflops and not gpu.bf16_tflops}

    assert without == {"V100 SXM2 16GB", "V100 SXM2 32GB", "T4"}


def test_an_unknown_card_keeps_its_word_tidied() -> None:
    assert card("NVIDIA  Zx 1") is None
    assert canonical("NVIDIA  Zx 1") == "NVIDIA Zx 1"


@pytest.mark.parametrize(
    ("word", "gpu", "meant"),
    [
        ("A100", "A100 40GB PCIe", True),
        ("A100 80GB", "A100 80GB SXM", True),
        ("A100 80GB", "A100 40GB SXM", False),
        ("h100", "H100 NVL", True),
        ("H200", "H200 NVL", True),
        ("4090", "RTX 4090", True),
        ("rtx-4090", "RTX 4090", True),
        ("A10", "A100 40GB PCIe", False),
        ("L40", "L40S", False),
        ("A4000", "RTX 4000 Ada", False),
        ("NVIDIA Zx 1", "NVIDIA Zx 1", True),
    ],
)
def test_what_a_person_writes_means_a_card_or_its_family(word: str, gpu: str, meant: bool) -> None:
    assert names(word, gpu) is meant
