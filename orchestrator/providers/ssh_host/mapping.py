"""What is said to a workstation and what it answers, as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    LoginRefused,
    NoCapacity,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RemoteError,
)
from orchestrator.providers.base import MachineRequest
from orchestrator.providers.nvidia import TABLE, FoundGpu, to_gpus
from orchestrator.providers.own_machine import (
    IDLE_GPU_GIB,
    Computer,
    Facts,
    is_over,
    to_environment,
    to_facts,
)
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Reply

Answer = dict[str, Any]

PYTHON = "exec python3 -I -"
# What programs would else keep elsewhere, in the login's home or in /tmp.
_CACHES = {
    "XDG_CACHE_HOME": "cache",
    "UV_CACHE_DIR": "cache/uv",
    "UV_PYTHON_INSTALL_DIR": "cache/python",
    "PIP_CACHE_DIR": "cache/pip",
    "HF_HOME": "cache/huggingface",
    "CUDA_CACHE_PATH": "cache/cuda",
    "TORCHINDUCTOR_CACHE_DIR": "cache/inductor",
    "TRITON_CACHE_DIR": "cache/triton",
}


@dataclass(frozen=True, slots=True)
class Look:
    """A workstation as it is now."""

    identity: str
    root: str  # of its machines' folders
    computer: Computer
    records: dict[str, Facts]  # by label
    gpus: tuple[FoundGpu, ...]


def to_program(do: str, **words: object) -> bytes:
    """What the workstation's Python reads: the text of on_host.py and one call of it."""
    request = json.dumps({"do": do, **words})
    return f"{on_host_program()}\n\nmain({request!r})\n".encode()


@cache
def on_host_program() -> str:
    """The text of on_host.py, as it was when it was first asked for."""
    return files(__package__).joinpath("on_host.py").read_text("utf-8")


def look_words(*, gpus: bool) -> dict[str, object]:
    """The words of a `look`, with or without its GPUs."""
    return {"nvidia_smi": list(TABLE) if gpus else []}


def create_words(
    request: MachineRequest, look: Look, gpus: Iterable[str], now_s: float
) -> dict[str, object]:
    """The words of a `create`: how many of which GPUs it may take, and who holds none any more."""
    folder = f"{look.root}/{request.label}"
    caches = {name: f"{folder}/{place}" for name, place in _CACHES.items()}
    return {
        "label": request.label,
        "count": request.offer.gpu_count,
        "gpus": list(gpus),
        "idle_mib": IDLE_GPU_GIB * 1024,
        "over": [label for label in look.records if is_over(label, now_s)],
        "facts": to_facts(request, [], now_s),
        "environment": {**caches, **to_environment(request, [])},
    }


def to_answer(reply: Reply, name: str) -> Answer:
    """The workstation's answer. Raises: ProviderDown, also where it says what went wrong."""
    words = shown(reply.stderr[-300:].decode(errors="replace").strip())
    if reply.exit_code == 127:
        raise ProviderDown(
            f"{name} has no python3 for a login without a terminal",
            hint="install Python 3.8 or newer there",
        )
    try:
        answer = json.loads(reply.stdout)
    except (ValueError, RecursionError) as error:
        raise ProviderDown(f"{name} did not answer as agreed: {words}") from error
    if not isinstance(answer, dict):
        raise ProviderDown(f"{name} did not answer as agreed: {words}")
    if "error" in answer:
        raise ProviderDown(f"{name}: {shown(str(answer['error']))}")
    return answer


def to_identity(answer: Mapping[str, Any]) -> str:
    """Which computer and login answered, "" when it does not say."""
    identity = answer.get("identity")
    return f"user:{identity}" if isinstance(identity, str) else ""


def to_look(answer: Mapping[str, Any], provider: str, name: str) -> Look:
    """Raises: ProviderDown when something is missing."""
    try:
        gpus = to_gpus(str(answer["nvidia_table"]), str(answer["nvidia_banner"]))
        ram_gib = round(int(answer["ram_bytes"]) / 2**30, 1)
        return Look(
            identity=to_identity(answer),
            root=str(answer["root"]),
            computer=Computer(provider, name, ram_gib, str(answer["architecture"])),
            records={str(one["id"]): _to_facts(one) for one in answer["machines"]},
            gpus=tuple(gpus),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderDown(f"{name} did not answer as agreed: {error!r}") from error


def to_record(answer: Mapping[str, Any], name: str) -> Facts | None:
    """The record of the machine that was asked for; None when the workstation says: absent.

    Raises: ProviderDown when it says neither.
    """
    if "machine" not in answer:
        raise ProviderDown(f"{name} did not answer as agreed")
    return None if answer["machine"] is None else _to_facts(answer["machine"])


def to_created(answer: Mapping[str, Any], name: str) -> Facts:
    """The record of a new machine. Raises: NoCapacity, InvalidRequest, OutcomeUnknown."""
    refusal = answer.get("refused")
    if refusal == "exists":
        raise InvalidRequest(f"there is a machine of that label on {name} already")
    if refusal is not None:
        problem = {"in use": "its GPUs are in use", "locked": "its lock is taken"}
        raise NoCapacity(f"{name}: {problem.get(str(refusal), shown(str(refusal)))}")
    if not isinstance(answer.get("machine"), dict):
        raise OutcomeUnknown(f"{name} did not answer as agreed")
    return _to_facts(answer["machine"])


def to_error(error: RemoteError) -> ProviderError:
    """What a connection's trouble means for a call that only reads."""
    kind = BadCredentials if isinstance(error, LoginRefused) else ProviderDown
    return kind(error.problem, hint=error.hint)


def _to_facts(machine: Mapping[str, Any]) -> Facts:
    facts = machine.get("facts")
    return facts if isinstance(facts, dict) else {}
