"""The simulated providers on the stage: a client of each, and how its machines end themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from pydantic import SecretStr

from infra.simcloud.rented import Rented
from orchestrator.clock import Clock
from orchestrator.providers.base import Capabilities, Provider
from orchestrator.providers.lambda_cloud import Lambda
from orchestrator.providers.paperspace import Paperspace
from orchestrator.providers.runpod import RunPod
from orchestrator.providers.vast import Vast

_TERMINATE = 'mutation{podTerminate(input:{podId:"%s"})}'
_SOON_S = 2 * 3600.0
_LOG_QUIET_S = 0.15  # real seconds; a boot log that came late is asked for again

Environment = Mapping[str, str]  # what leads to the simulated clouds
Way = tuple[str, str, object]  # method, URL, body


class Client(Provider, Protocol):
    """A provider that keeps connections."""

    def close(self) -> None:
        """Close them."""


def _runpod(env: Environment, home: Path) -> dict[str, object]:
    return {
        "url": env["GPULEASE_RUNPOD_URL"],
        "graphql_url": env["GPULEASE_RUNPOD_GRAPHQL_URL"],
        "log_quiet_s": _LOG_QUIET_S,
    }


def _vast(env: Environment, home: Path) -> dict[str, object]:
    return {"url": env["GPULEASE_VAST_URL"], "ssh_user": env["GPULEASE_VAST_SSH_USER"]}


def _lambda(env: Environment, home: Path) -> dict[str, object]:
    return {
        "url": env["GPULEASE_LAMBDA_URL"],
        "ssh_user": env["GPULEASE_LAMBDA_SSH_USER"],
        "ssh_port": int(env["GPULEASE_LAMBDA_SSH_PORT"]),
        "paces": home / "pace",
    }


def _paperspace(env: Environment, home: Path) -> dict[str, object]:
    return {
        "url": env["GPULEASE_PAPERSPACE_URL"],
        "ssh_user": env["GPULEASE_PAPERSPACE_SSH_USER"],
        "ssh_port": int(env["GPULEASE_PAPERSPACE_SSH_PORT"]),
    }


def _out_of_a_pod(env: Environment, machine_id: str) -> list[Way]:
    rest = env["GPULEASE_RUNPOD_URL"]
    return [
        ("POST", f"{rest}/pods/{machine_id}/action", {"action": "terminate"}),
        ("DELETE", f"{rest}/pods/{machine_id}", None),
        ("POST", env["GPULEASE_RUNPOD_GRAPHQL_URL"], {"query": _TERMINATE % machine_id}),
    ]


def _out_of_an_instance(env: Environment, machine_id: str) -> list[Way]:
    url = f"{env['GPULEASE_VAST_URL']}/api/v0/instances/{machine_id}/"
    return [("DELETE", url, {}), ("PUT", url, {"state": "stopped"})]


def _no_way_out(env: Environment, machine_id: str) -> list[Way]:
    return []


@dataclass(frozen=True)
class Cloud:
    """One provider."""

    kind: Callable[..., Client]
    facts: Capabilities
    options: Callable[[Environment, Path], dict[str, object]]
    key: str  # variable of the account's key
    others_key: str  # the same of another account
    credential: str = ""  # variable in which a machine finds a key to end itself; "": none does
    ways: Callable[[Environment, str], list[Way]] = _no_way_out
    tells_uptime: bool = True


CLOUDS: Mapping[str, Cloud] = {
    "runpod": Cloud(
        RunPod,
        RunPod.capabilities,
        _runpod,
        "RUNPOD_API_KEY",
        "SIMCLOUD_RUNPOD_OTHER_KEY",
        "RUNPOD_API_KEY",
        _out_of_a_pod,
    ),
    "vast": Cloud(
        Vast,
        Vast.capabilities,
        _vast,
        "VAST_API_KEY",
        "SIMCLOUD_VAST_OTHER_KEY",
        "CONTAINER_API_KEY",
        _out_of_an_instance,
    ),
    "lambda": Cloud(
        Lambda,
        Lambda.capabilities,
        _lambda,
        "LAMBDA_API_KEY",
        "SIMCLOUD_LAMBDA_OTHER_KEY",
        tells_uptime=False,
    ),
    "paperspace": Cloud(
        Paperspace,
        Paperspace.capabilities,
        _paperspace,
        "PAPERSPACE_API_KEY",
        "SIMCLOUD_PAPERSPACE_OTHER_KEY",
        tells_uptime=False,
    ),
}
UNGUARDED = {name for name, cloud in CLOUDS.items() if not cloud.credential}


def make_client(
    name: str,
    env: Environment,
    home: Path,
    clock: Clock,
    *,
    kind: Callable[..., Client] | None = None,
    is_others: bool = False,
) -> Client:
    """A new client of a provider, under the account's own key or another account's."""
    cloud = CLOUDS[name]
    key = SecretStr(env[cloud.others_key if is_others else cloud.key])
    return (kind or cloud.kind)(key, clock=clock, **cloud.options(env, home))


def has_guard(machine: Rented) -> bool:
    """Whether machines of its provider can end themselves at all."""
    return bool(CLOUDS[machine.provider].credential)


def tells_in_time(machine: Rented) -> bool:
    """Whether its provider's own records show within hours when it ended."""
    facts = CLOUDS[machine.provider].facts
    return facts.has_charges and facts.billing_lag_s <= _SOON_S


def tells_uptime(provider: str) -> bool:
    """Whether it tells since when a machine runs, where bills begin with that."""
    return CLOUDS[provider].tells_uptime


def credential_of(machine: Rented) -> str:
    """The key that a machine finds in its environment; "" where there is none."""
    name = CLOUDS[machine.provider].credential
    return machine.boot.environment.get(name, "") if machine.boot and name else ""


def end_from_inside(api: httpx.Client, env: Environment, machine: Rented) -> bool:
    """As its boot guard does it, by every way once; whether the machine is gone."""
    key = credential_of(machine)
    if machine.is_cut or not key:
        return False
    headers = {"Authorization": f"Bearer {key}"}
    for method, url, body in CLOUDS[machine.provider].ways(env, machine.id):
        with contextlib.suppress(httpx.HTTPError):  # the next way, or the next minute
            api.request(method, url, json=body, headers=headers)
        if not machine.is_up:
            break
    return not machine.alive
