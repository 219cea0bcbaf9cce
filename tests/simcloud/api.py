"""A client of the simulated RunPod that hides nothing, and OpenSSH as a person uses it.

Every answer of REST v2 is compared with the published description.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.providers.differences import answered
from tests.providers.runpod.openapi import ORACLE
from tests.simcloud.described import checks_answers

DIFFERENCES = answered("runpod")
WAIT_S = 15.0


class Api(httpx.Client):
    """Requests to REST v2 under the main key; `graphql` asks the other surface."""

    def __init__(self, env: Mapping[str, str], key: str = "RUNPOD_API_KEY") -> None:
        super().__init__(
            base_url=env["GPULEASE_RUNPOD_URL"],
            headers={"Authorization": f"Bearer {env[key]}"} if key else {},
            timeout=10.0,
            trust_env=False,
            event_hooks={"response": [checks_answers(ORACLE, DIFFERENCES)]},
        )
        self._graphql = env["GPULEASE_RUNPOD_GRAPHQL_URL"]

    def graphql(self, query: str) -> httpx.Response:
        return self.post(self._graphql, json={"query": query})

    def create(self, **changes: Any) -> dict[str, Any]:
        reply = self.post("/pods", json=body(**changes))
        assert reply.status_code == 201, reply.text
        pod: dict[str, Any] = reply.json()
        return pod

    def pod(self, pod_id: str) -> dict[str, Any]:
        pod: dict[str, Any] = self.get(f"/pods/{pod_id}").json()
        return pod

    def names(self) -> list[str]:
        return [pod["name"] for pod in self.get("/pods").json()["pods"]]


class Login:
    """OpenSSH with one key."""

    def __init__(self, private_key: Path) -> None:
        self._private_key = private_key
        self.public_key = private_key.with_suffix(".pub").read_text().strip()

    def run(self, pod: dict[str, Any], command: str) -> subprocess.CompletedProcess[str]:
        direct = pod["ssh"]["direct"]
        options = [
            f"-i{self._private_key}",
            f"-p{direct['port']}",
            "-oBatchMode=yes",
            "-oStrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-oLogLevel=ERROR",
            "-oConnectTimeout=2",
        ]
        address = f"{direct['username']}@{direct['host']}"
        return subprocess.run(
            ["ssh", *options, address, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )

    def wait_for(self, api: Api, pod_id: str) -> dict[str, Any]:
        """The pod, once somebody can log in."""
        wait_until(lambda: api.pod(pod_id)["ssh"]["direct"])
        pod = api.pod(pod_id)
        wait_until(lambda: self.run(pod, "true").returncode == 0)
        return pod


def body(**changes: Any) -> dict[str, Any]:
    """A create that is in order; a change to None leaves the field out."""
    whole = {
        "name": "a-pod",
        "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        "gpu": {"id": "NVIDIA L4", "count": 1, "minCudaVersion": "12.8"},
        "cloud": "SECURE",
        "disk": 20,
        "ports": ["22/tcp"],
        "startSsh": True,
        "env": {},
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def wait_until(is_so: Callable[[], object]) -> None:
    """Look until it is so, for a limited time."""
    give_up_at = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.02)
