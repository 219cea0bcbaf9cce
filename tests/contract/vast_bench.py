"""Vast.ai under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.clock import FakeClock
from orchestrator.providers.base import Provider
from orchestrator.providers.vast import Vast
from orchestrator.spec.resources import Need


class VastBench:
    """Machines without processes, and a clock that moves when told."""

    need = Need(gpu_memory_gib=24, disk_gib=20)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"])
    asks: Mapping[str, str] = {
        "identity": "account",
        "balance_usd": "account",
        "charges": "billing",
        "boot_log": "logs",
        "boot_trouble": "get",
    }

    def __init__(self, state: Path) -> None:
        self._clock = FakeClock()
        self._cloud = SimCloud(
            state=state, machines="memory", clock=self._clock, providers=("vast",)
        )
        self._clients: list[Vast] = []

    def __enter__(self) -> VastBench:
        self._cloud.__enter__()
        self.secret = self._cloud.env["VAST_API_KEY"]
        self.provider: Provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._cloud.close()

    def with_key(self, which: str) -> Vast:
        env = self._cloud.env
        keys = {
            "same": self.secret,
            "wrong": "WRONG",
            "another": env["SIMCLOUD_VAST_OTHER_KEY"],
        }
        url = env["GPULEASE_VAST_URL"]
        self._clients.append(Vast(SecretStr(keys[which]), url=url, clock=self._clock))
        return self._clients[-1]

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self._cloud.switch(page_size=1)
            return
        # What is the same to a client goes by other names here.
        if options.get("operation") == "graphql":
            options["operation"] = "account"
        if (fault, options.get("operation")) == ("forbidden", "create"):
            fault = "offer_not_own"
        if fault == "error_status":
            fault = "oci_error"
        self._cloud.fault(fault, **options)  # type: ignore[arg-type]  # `operation` is text

    def rented(self) -> list[str]:
        rows = self._cloud.machines()
        return sorted(str(row["label"]) for row in rows if row["ended_at"] is None)

    def wait(self, seconds: float) -> None:
        self._cloud.advance(seconds)

    def reclaim(self, machine_id: str) -> None:
        """Somebody bids more."""
        self._cloud.machine_fault(machine_id, "spot_reclaim")

    def unmet(self) -> list[str]:
        """Faults that wait for a call which nobody made."""
        return [fault.name for fault in self._cloud.world.faults.active()]

    def billed_usd(self, machine_id: str) -> Decimal:
        return self._cloud.world.machines[machine_id].bill_usd(self._clock.now_s())
