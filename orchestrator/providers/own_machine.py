"""What a machine on a person's own computer is, this one or a workstation. Pure.

It is a folder named by its label, with a record of the GPUs that it holds, and processes. It costs
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.budget.price import Price
from orchestrator.offers.gpus import canonical, card
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Address, Machine, MachineRequest, MachineStatus
from orchestrator.providers.nvidia import FoundGpu
from orchestrator.runs.label import parse_label
from orchestrator.spec.resources import Need

FACTS_FILE = "machine.json"
LABEL_VARIABLE = "GPULEASE_LABEL"
# A desktop keeps some hundred MiB; more than this, and somebody computes.
IDLE_GPU_GIB = 1.0
_LATE_S = 900.0  # clocks may differ by so much; past its deadline a job needs no GPU

_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Computer:
    """Where machines may be made."""

    provider: str
    name: str  # as its offers call it
    ram_gib: float
    machine: str  # as `uname -m` says


def is_label(name: str) -> bool:
    """Whether a folder's name can be a machine's.

    >>> is_label("gl1-homeid-runid123-01-trpw5s-trpyxc"), is_label(".."), is_label("a/b")
    (True, False, False)
    """
    return _LABEL.fullmatch(name) is not None


def is_over(label: str, now_s: float) -> bool:
    """Whether the deadline in a machine's label has passed: then it holds no GPU any more.

    What its job made may still wait there for somebody who never comes.

    >>> is_over("gl1-homeid-runid123-01-trpw5s-trpyxc", 1800080400.0)
    False
    >>> is_over("gl1-homeid-runid123-01-trpw5s-trpyxc", 1800090000.0), is_over("mine", 9e9)
    (True, False)
    """
    named = parse_label(label)
    return named is not None and now_s > named.deadline_s + _LATE_S


def free_gpus(
    found: Iterable[FoundGpu], machines: Mapping[str, Facts], now_s: float
) -> list[FoundGpu]:
    """GPUs that no machine's record holds, and on which nobody computes.

    Args:
        machines: record of each, by its label.
    """
    records = [facts for label, facts in machines.items() if not is_over(label, now_s)]
    lists = [gpus for facts in records if isinstance(gpus := facts.get("gpus"), list)]
    held = {str(gpu) for gpus in lists for gpu in gpus}
    return [gpu for gpu in found if gpu.uuid not in held and gpu.used_gib <= IDLE_GPU_GIB]


def to_offers(computer: Computer, free: Iterable[FoundGpu], need: Need) -> list[Offer]:
    """One offer per card of the free GPUs; with `allow_cpu` the computer without them too."""
    by_card: dict[str, list[FoundGpu]] = {}
    for gpu in free:
        by_card.setdefault(canonical(gpu.name), []).append(gpu)
    offers = [_to_offer(computer, name, gpus, need) for name, gpus in by_card.items()]
    return [*offers, *([_to_offer(computer, "", [], need)] if need.allow_cpu else [])]


def to_facts(request: MachineRequest, gpus: Iterable[str], now_s: float) -> dict[str, object]:
    """The record that a machine's folder keeps."""
    return {"created_at": now_s, "gpu": request.offer.gpu, "gpus": list(gpus)}


def to_environment(request: MachineRequest, gpus: Iterable[str]) -> dict[str, str]:
    """What a container would have got from its provider; without a GPU none is to be seen."""
    return {
        **request.environment,
        LABEL_VARIABLE: request.label,
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
    }


def to_machine(label: str, facts: Facts, address: Address) -> Machine:
    """The machine of a folder, also of one whose record is gone or spoilt."""
    created_at, gpus = facts.get("created_at"), facts.get("gpus")
    named = parse_label(label)
    return Machine(
        id=label,
        label=label,
        status=MachineStatus.RUNNING,
        gpu=str(facts.get("gpu", "")),
        gpu_count=len(gpus) if isinstance(gpus, list) else 0,
        usd_per_hour=Decimal(0),
        created_at_s=(
            float(created_at)
            if isinstance(created_at, int | float)
            else float(named.created_s if named else 0)
        ),
        address=address,
    )


def _to_offer(computer: Computer, name: str, gpus: list[FoundGpu], need: Need) -> Offer:
    known = card(name) if name else None
    count = min(max(1, need.gpu_count), len(gpus))
    machine = computer.machine.lower()
    memory_gib = round(gpus[0].memory_gib, 1) if gpus else 0.0
    return Offer(
        id=f"{computer.name} {name} x{count}" if gpus else computer.name,
        provider=computer.provider,
        gpu=name,
        gpu_count=count,
        gpu_memory_gib=known.memory_gib if known else memory_gib,
        cuda=gpus[0].cuda if gpus else "",
        compute_capability=gpus[0].compute_capability if gpus else None,
        price=Price(Decimal(0)),
        trust="secure",
        stock="high",
        ram_gib=computer.ram_gib,
        architecture=_ARCHITECTURES.get(machine, machine),
    )
