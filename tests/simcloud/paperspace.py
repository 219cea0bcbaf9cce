"""A client of the simulated Paperspace that hides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.providers.differences import answered
from tests.providers.paperspace.openapi import ORACLE
from tests.simcloud.api import Login, wait_until
from tests.simcloud.described import checks_answers

DIFFERENCES = answered("paperspace")


class PaperspaceClient(httpx.Client):
    """Requests under the main key."""

    def __init__(self, env: Mapping[str, str], key: str = "PAPERSPACE_API_KEY") -> None:
        super().__init__(
            base_url=env["GPULEASE_PAPERSPACE_URL"],
            headers={"Authorization": f"Bearer {env[key]}"} if key else {},
            timeout=10.0,
            trust_env=False,
            event_hooks={"response": [checks_answers(ORACLE, DIFFERENCES)]},
        )
        self.user = env["GPULEASE_PAPERSPACE_SSH_USER"]
        self.port = int(env["GPULEASE_PAPERSPACE_SSH_PORT"])

    def data(self, path: str, **query: str) -> Any:
        reply = self.get(path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data(path, **query)["items"]
        return found

    def ids(self) -> list[str]:
        return [str(row["id"]) for row in self.rows("/machines")]

    def add_script(self, text: str = "#!/bin/sh\n", name: str = "job-1") -> str:
        reply = self.post("/startup-scripts", json={"name": name, "script": text})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    def create(self, **changes: Any) -> str:
        """A new machine's id."""
        reply = self.post("/machines", json=body(**changes))
        assert reply.status_code == 200, reply.text
        return str(reply.json()["data"]["id"])

    def show(self, machine_id: str) -> dict[str, Any]:
        row: dict[str, Any] = self.data(f"/machines/{machine_id}")
        return row

    def state(self, machine_id: str) -> str:
        return str(self.show(machine_id)["state"])

    def events(self, machine_id: str) -> list[tuple[str, str]]:
        rows = self.rows("/machine-events", machineId=machine_id, order="asc")
        return [(row["name"], row["state"]) for row in rows]

    def login(self, login: Login, machine_id: str) -> dict[str, Any]:
        """The address of a machine, once somebody can log in."""
        wait_until(lambda: self.state(machine_id) == "ready")
        host = self.show(machine_id)["publicIp"]
        address = {"ssh": {"direct": {"host": host, "port": self.port, "username": self.user}}}
        wait_until(lambda: login.run(address, "true").returncode == 0)
        return address


def body(**changes: Any) -> dict[str, Any]:
    """A create that is in order; a change to None leaves the field out."""
    whole = {
        "name": "job-1",
        "machineType": "A4000",
        "templateId": "tml22box",
        "region": "East Coast (NY2)",
        "diskSize": 100,
        "publicIpType": "dynamic",
        "startOnCreate": True,
        "emailPassword": False,
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}
