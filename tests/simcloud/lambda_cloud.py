"""A client of the simulated Lambda that hides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.providers.differences import answered
from tests.providers.lambda_cloud.openapi import ORACLE
from tests.simcloud.api import Login, wait_until
from tests.simcloud.described import checks_answers

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHRlc3Q run"
DIFFERENCES = answered("lambda")


class LambdaClient(httpx.Client):
    """Requests under the main key."""

    def __init__(self, env: Mapping[str, str], key: str = "LAMBDA_API_KEY") -> None:
        super().__init__(
            base_url=env["GPULEASE_LAMBDA_URL"],
            headers={"Authorization": f"Bearer {env[key]}"} if key else {},
            timeout=10.0,
            trust_env=False,
            event_hooks={"response": [checks_answers(ORACLE, DIFFERENCES)]},
        )
        self.user = env["GPULEASE_LAMBDA_SSH_USER"]
        self.port = int(env["GPULEASE_LAMBDA_SSH_PORT"])

    def data(self, path: str, **query: str) -> Any:
        reply = self.get(path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    def add_key(self, name: str = "a key", public_key: str = PUBLIC_KEY) -> dict[str, Any]:
        reply = self.post("/ssh-keys", json={"name": name, "public_key": public_key})
        assert reply.status_code == 200, reply.text
        made: dict[str, Any] = reply.json()["data"]
        return made

    def launch(self, **changes: Any) -> httpx.Response:
        return self.post("/instance-operations/launch", json=body(**changes))

    def create(self, public_key: str = PUBLIC_KEY, **changes: Any) -> str:
        """A new instance's id; its key is registered when it is not there yet."""
        if not self.data("/ssh-keys"):
            self.add_key(public_key=public_key)
        reply = self.launch(**changes)
        assert reply.status_code == 200, reply.text
        (made,) = reply.json()["data"]["instance_ids"]
        return str(made)

    def show(self, instance_id: str) -> dict[str, Any]:
        row: dict[str, Any] = self.data(f"/instances/{instance_id}")
        return row

    def ids(self) -> list[str]:
        return [row["id"] for row in self.data("/instances")]

    def terminate(self, *ids: str) -> httpx.Response:
        return self.post("/instance-operations/terminate", json={"instance_ids": list(ids)})

    def login(self, login: Login, instance_id: str) -> dict[str, Any]:
        """The address of an instance, once somebody can log in."""
        wait_until(lambda: self.show(instance_id)["status"] == "active")
        host = self.show(instance_id)["ip"]
        address = {"ssh": {"direct": {"host": host, "port": self.port, "username": self.user}}}
        wait_until(lambda: login.run(address, "true").returncode == 0)
        return address


def body(**changes: Any) -> dict[str, Any]:
    """A launch that is in order; a change to None leaves the field out."""
    whole = {
        "region_name": "us-east-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["a key"],
        "name": "job-1",
        "image": {"family": "lambda-stack-24-04"},
        "user_data": "#cloud-config\n",
        "tags": [{"key": "gpulease", "value": "job-1"}],
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}
