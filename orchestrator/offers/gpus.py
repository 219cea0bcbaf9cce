"""One table of cards: what a card can do, and every name that it goes by.

Source: makers' data sheets by way of public tables (PyTorch Lightning `_CUDA_FLOPS`, nanochat
`get_peak_flops`, LLM-Viewer, gpuhunt), gathered 2026-11. TFLOPS are dense with FP32 accumulation;
an A10G of AWS is slower than the A10 here. Memory is the nominal figure that offers are sold by:
cards with ECC show up to 7 % less (A40, L40S: 45 GiB of 48).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card. Figures that nobody published are None."""

    name: str
    memory_gib: float
    bandwidth_gb_s: float | None
    bf16_tflops: float | None  # None too where the card has no bf16
    fp16_tflops: float | None
    compute_capability: float | None  # None: not a CUDA card
    aliases: tuple[str, ...] = ()  # as `_plain` leaves them
    architecture: str = "x86_64"  # of every host that has it


CARDS: tuple[Gpu, ...] = (
    Gpu("RTX 3090", 24, 936, 71, 71, 8.6, ("3090",)),
    Gpu("RTX 4090", 24, 1008, 165.2, 165.2, 8.9, ("4090",)),
    Gpu("RTX 5090", 32, 1792, 209.5, 209.5, 12.0, ("5090",)),
    Gpu("RTX A4000", 16, 448, 76.7, 76.7, 8.6, ("a4000",)),
    Gpu("RTX A4500", 20, None, None, None, 8.6, ("a4500",)),
    Gpu("RTX A5000", 24, 768, 111.1, 111.1, 8.6, ("a5000",)),
    Gpu("RTX A6000", 48, 768, 154.8, 154.8, 8.6, ("a6000",)),
    Gpu("A40", 48, 696, 149.7, 149.7, 8.6),
    Gpu("L4", 24, 300, 121, 121, 8.9),
    Gpu("L40", 48, 864, 181, 181, 8.9),
    Gpu("L40S", 48, 864, 362, 362, 8.9),
    Gpu("A10", 24, 600, 125, 125, 8.6),
    Gpu("A30", 24, None, None, None, 8.0),
    Gpu("A100 40GB PCIe", 40, 1555, 312, 312, 8.0, ("a100 pcie 40gb",)),
    Gpu("A100 40GB SXM", 40, 1555, 312, 312, 8.0, ("a100 sxm4 40gb", "a100 sxm 40gb")),
    Gpu("A100 80GB PCIe", 80, 1935, 312, 312, 8.0, ("a100 pcie 80gb",)),
    Gpu("A100 80GB SXM", 80, 2039, 312, 312, 8.0, ("a100 sxm4 80gb", "a100 sxm 80gb")),
    Gpu("H100 PCIe", 80, 2039, 756.5, 756.5, 9.0),
    Gpu("H100 SXM", 80, 3352, 989.5, 989.5, 9.0, ("h100 80gb hbm3", "h100 sxm5")),
    Gpu("H100 NVL", 94, 3938, 835, 835, 9.0),
    Gpu("H200 SXM", 141, 4800, 989.5, 989.5, 9.0, ("h200",)),
    Gpu("H200 NVL", 141, 4800, 836, 836, 9.0),
    Gpu("B200", 180, 8000, 2250, 2250, 10.0),
    Gpu("B300", 288, None, None, None, 10.3, ("b300 sxm6 ac",)),
    Gpu("GH200", 96, 4000, 989.5, 989.5, 9.0, ("gh200 480gb",), "arm64"),
    Gpu("MI300X", 192, 5300, 1307.4, 1307.4, None, ("mi300x oam",)),
    Gpu("V100 SXM2 16GB", 16, 900, None, 125, 7.0, ("v100 16gb",)),
    Gpu("V100 SXM2 32GB", 32, 900, None, 125, 7.0, ("v100 32gb",)),
    Gpu("T4", 16, 320, None, 65, 7.5),
    Gpu("Quadro P4000", 8, None, None, None, 6.1, ("p4000",)),
    Gpu("Quadro P5000", 16, None, None, None, 6.1, ("p5000",)),
    Gpu("Quadro P6000", 24, None, None, None, 6.1, ("p6000",)),
    Gpu("Quadro RTX 4000", 8, None, None, None, 7.5),
    Gpu("Quadro RTX 5000", 16, None, None, None, 7.5),
    Gpu("RTX 2000 Ada", 16, None, None, None, 8.9, ("2000 ada",)),
    Gpu("RTX 4000 Ada", 20, None, None, None, 8.9, ("4000 ada",)),
    Gpu("RTX 5000 Ada", 32, None, None, None, 8.9, ("5000 ada",)),
    Gpu("RTX 6000 Ada", 48, 960, 364.2, 364.2, 8.9, ("6000 ada",)),
    Gpu(
        "RTX PRO 6000",
        96,
        1792,
        503.8,
        503.8,
        12.0,
        ("rtx pro 6000 blackwell server", "rtx pro 6000 blackwell workstation"),
    ),
)

_LEAST_CAPABILITY = (((13,), 7.5), ((12, 8), 7.0))
_FILLER = re.compile(r"\b(nvidia|amd|instinct|tesla|geforce|generation|edition|blackwell gpu)\b")
_JOINED = re.compile(r"^(rtx|gtx)(?=[a-z]?\d)")


def card(name: str) -> Gpu | None:
    """The card of any of its names; None when it is not in the table."""
    return _BY_NAME.get(_plain(name))


def canonical(word: str) -> str:
    """Our name for a provider's word; the word itself, tidied, for a card that is unknown.

    >>> canonical("NVIDIA A100-SXM4-80GB"), canonical("NVIDIA  RTX A4500")
    ('A100 80GB SXM', 'RTX A4500')
    >>> canonical("NVIDIA Made Up 9")
    'NVIDIA Made Up 9'
    """
    known = card(word)
    return known.name if known else " ".join(word.split())


def names(word: str, gpu: str) -> bool:
    """Whether what a person wrote means this card; a family name means all of it.

    >>> names("A100", "A100 80GB SXM"), names("rtx4090", "RTX 4090"), names("L4", "L40S")
    (True, True, False)
    """
    if canonical(word) == canonical(gpu):
        return True
    return _plain(gpu).startswith(_plain(word) + " ")


def least_capability(cuda: str) -> float:
    """Of the cards that PyTorch's builds for a CUDA have code for; 0 where it is not known.

    Sources: NVIDIA's release notes of CUDA 13.0 (2025-08), which removed Maxwell, Pascal and Volta;
    PyTorch's of 2025-07 for its builds of CUDA 12.8 and 12.9, without Maxwell and Pascal.

    >>> least_capability("13.0"), least_capability("12.8"), least_capability("12.6")
    (7.5, 7.0, 0.0)
    """
    version = tuple(int(part) for part in cuda.split(".") if part.isdecimal())
    return next((least for since, least in _LEAST_CAPABILITY if version >= since), 0.0)


def _plain(word: str) -> str:
    text = _FILLER.sub(" ", re.sub(r"[-_]", " ", word.lower()))
    return " ".join(_JOINED.sub(r"\1 ", " ".join(text.split())).split())


_BY_NAME = {_plain(name): gpu for gpu in CARDS for name in (gpu.name, *gpu.aliases)}
