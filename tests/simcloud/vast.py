"""A client of the simulated Vast that hides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.providers.differences import answered
from tests.providers.vast.openapi import ORACLE
from tests.simcloud.api import Login, wait_until
from tests.simcloud.described import checks_answers

DIFFERENCES = answered("vast")


class Vast(httpx.Client):
    """Requests under the main key."""

    def __init__(self, env: Mapping[str, str], key: str = "VAST_API_KEY") -> None:
        super().__init__(
            base_url=env["GPULEASE_VAST_URL"],
            headers={"Authorization": f"Bearer {env[key]}"} if key else {},
            timeout=10.0,
            trust_env=False,
            event_hooks={"response": [checks_answers(ORACLE, DIFFERENCES)]},
        )

    def search(self, **query: Any) -> list[dict[str, Any]]:
        reply = self.post("/api/v0/bundles/", json=query)
        assert reply.status_code == 200, reply.text
        offers: list[dict[str, Any]] = reply.json()["offers"]
        return offers

    def offer(self, **query: Any) -> dict[str, Any]:
        """The cheapest one that can be reached directly."""
        wanted = {
            "num_gpus": {"eq": 1},
            "direct_port_count": {"gte": 2},
            "order": [["dph_total", "asc"]],
        }
        return self.search(**wanted | query)[0]

    def rent(self, ask_id: int | None = None, **changes: Any) -> httpx.Response:
        if ask_id is None:
            ask_id = self.offer()["id"]
        return self.put(f"/api/v0/asks/{ask_id}/", json=body(**changes))

    def create(self, ask_id: int | None = None, **changes: Any) -> int:
        reply = self.rent(ask_id, **changes)
        assert reply.status_code == 200, reply.text
        contract: int = reply.json()["new_contract"]
        return contract

    def show(self, instance_id: int) -> dict[str, Any]:
        row: dict[str, Any] = self.get(f"/api/v0/instances/{instance_id}/").json()["instances"]
        return row

    def page(self, **query: Any) -> dict[str, Any]:
        asked = {
            name: value if isinstance(value, str | int) else json.dumps(value)
            for name, value in query.items()
        }
        whole: dict[str, Any] = self.get("/api/v1/instances/", params=asked).json()
        return whole

    def ids(self) -> list[int]:
        return [row["id"] for row in self.page()["instances"]]

    def change(self, instance_id: int, **wanted: Any) -> httpx.Response:
        return self.put(f"/api/v0/instances/{instance_id}/", json=wanted)

    def destroy(self, instance_id: int) -> httpx.Response:
        return self.request("DELETE", f"/api/v0/instances/{instance_id}/", json={})

    def login(self, login: Login, instance_id: int) -> dict[str, Any]:
        """The address of an instance, once somebody can log in."""
        wait_until(lambda: "22/tcp" in (self.show(instance_id).get("ports") or {}))
        address = direct(self.show(instance_id))
        wait_until(lambda: login.run(address, "true").returncode == 0)
        return address


def body(**changes: Any) -> dict[str, Any]:
    """A create that is in order; a change to None leaves the field out."""
    whole = {
        "client_id": "me",
        "image": "ghcr.io/acme/train:1.4",
        "disk": 20,
        "label": "job-1",
        "runtype": "ssh_direct",
        "env": {"JOB": "seven"},
        "onstart": "echo booted",
        "cancel_unavail": True,
        "target_state": "running",
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def direct(row: dict[str, Any]) -> dict[str, Any]:
    """The direct address, as `Login.run` takes it."""
    port = int(row["ports"]["22/tcp"][0]["HostPort"])
    return address_of(row["public_ipaddr"].strip(), port)


def address_of(host: str, port: int) -> dict[str, Any]:
    return {"ssh": {"direct": {"host": host, "port": port, "username": "root"}}}
