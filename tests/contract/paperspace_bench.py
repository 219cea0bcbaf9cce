"""Paperspace under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.clock import FakeClock
from orchestrator.providers.paperspace import Paperspace
from orchestrator.spec.resources import Need

# What Paperspace has not: prepaid money, images, bills, a state of failure. Its create knows no
# code for capacity or a limit, and a 409 to one proves nothing.
_NOT_PAPERSPACES = {
    "no_capacity",
    "quota",
    "inactive",
    "insufficient_funds",
    "unprocessable",
    "conflict",
    "error_status",
    "born_unhealthy",
    "image_error",
    "billing_absent",
    "billing_lag_s",
    "graphql_errors",
    "graphql_lies",
}


class PaperspaceBench:
    """Machines without processes, and a clock that moves when told."""

    need = Need(gpu_memory_gib=16)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"]) - _NOT_PAPERSPACES
    asks: Mapping[str, str] = {
        "identity": "account",
        "balance_usd": "",
        "boot_trouble": "logs",
        "list_leftovers": "keys",
        "delete_leftover": "keys",
    }

    def __init__(self, state: Path) -> None:
        self._clock = FakeClock()
        self._cloud = SimCloud(
            state=state, machines="memory", clock=self._clock, providers=("paperspace",)
        )
        self._clients: list[Paperspace] = []

    def __enter__(self) -> PaperspaceBench:
        self._cloud.__enter__()
        self.secret = self._cloud.env["PAPERSPACE_API_KEY"]
        self.provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._cloud.close()

    def with_key(self, which: str) -> Paperspace:
        env = self._cloud.env
        keys = {
            "same": self.secret,
            "wrong": "WRONG",
            "another": env["SIMCLOUD_PAPERSPACE_OTHER_KEY"],
        }
        client = Paperspace(
            SecretStr(keys[which]),
            url=env["GPULEASE_PAPERSPACE_URL"],
            ssh_port=int(env["GPULEASE_PAPERSPACE_SSH_PORT"]),
            clock=self._clock,
        )
        self._clients.append(client)
        return client

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self._cloud.switch(page_size=1)
            return
        if options.get("operation") == "graphql":  # where the account's name is told
            options["operation"] = "account"
        self._cloud.fault(fault, **options)  # type: ignore[arg-type]  # `operation` is text

    def rented(self) -> list[str]:
        rows = self._cloud.machines()
        return sorted(str(row["label"]) for row in rows if row["ended_at"] is None)

    def wait(self, seconds: float) -> None:
        self._cloud.advance(seconds)
