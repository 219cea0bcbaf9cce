"""Vast.ai under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import SecretStr

from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.providers.vast import Vast
from orchestrator.spec.resources import Need
from tests.contract.cloud_bench import CloudBench


class VastBench(CloudBench):
    """A market."""

    simulated = "vast"
    need = Need(gpu_memory_gib=24, disk_gib=20)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"])
    asks: Mapping[str, str] = {
        "identity": "account",
        "balance_usd": "account",
        "charges": "billing",
        "boot_log": "logs",
        "boot_trouble": "get",
    }

    def _client(self, key: SecretStr, env: Mapping[str, str]) -> Vast:
        return Vast(key, url=env["GPULEASE_VAST_URL"], clock=self._clock)

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self.switch(page_size=1, bill_page_size=1)
            return
        # What is the same to a client goes by other names here.
        if options.get("operation") == "graphql":
            options["operation"] = "account"
        if (fault, options.get("operation")) == ("forbidden", "create"):
            fault = "offer_not_own"
        if fault == "error_status":
            fault = "oci_error"
        super().break_next(fault, **options)

    def reclaim(self, machine_id: str) -> None:
        """Somebody bids more."""
        self._cloud.machine_fault(machine_id, "spot_reclaim")

    def unmet(self) -> list[str]:
        """Faults that wait for a call which nobody made."""
        return [fault.name for fault in self._cloud.world.faults.active()]

    def billed_usd(self, machine_id: str) -> Decimal:
        return self._cloud.world.machines[machine_id].bill_usd(self._clock.now_s())
