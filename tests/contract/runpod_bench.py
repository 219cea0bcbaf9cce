"""RunPod under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.providers.runpod import RunPod
from orchestrator.spec.resources import Need
from tests.contract.cloud_bench import CloudBench


class RunPodBench(CloudBench):
    """REST v2, and GraphQL beside it, which nothing describes."""

    simulated = "runpod"
    need = Need(gpu_memory_gib=24)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages", "cluster_member", "odd_catalog"])
    asks: Mapping[str, str] = {
        "identity": "graphql",
        "balance_usd": "graphql",
        "charges": "billing",
        "boot_log": "logs",
        "boot_trouble": "logs",
    }

    def _client(self, key: SecretStr, env: Mapping[str, str]) -> RunPod:
        return RunPod(
            key,
            url=env["GPULEASE_RUNPOD_URL"],
            graphql_url=env["GPULEASE_RUNPOD_GRAPHQL_URL"],
            log_quiet_s=0.3,
            clock=self._clock,
        )

    def break_next(self, fault: str, **options: float | int | str) -> None:
        match fault:
            case "small_pages":
                self.switch(page_size=1, bill_page_size=1)
            case "odd_catalog":
                self.switch(odd_catalog=True)
            case "cluster_member":
                self.switch(clusters=[options["label"]])
            case _:
                super().break_next(fault, **options)
