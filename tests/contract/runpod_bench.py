"""RunPod under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.clock import FakeClock
from orchestrator.providers.runpod import RunPod
from orchestrator.spec.resources import Need


class RunPodBench:
    """Machines without processes, and a clock that moves when told."""

    need = Need(gpu_memory_gib=24)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages", "cluster_member", "odd_catalog"])
    asks: Mapping[str, str] = {
        "identity": "graphql",
        "balance_usd": "graphql",
        "charges": "billing",
        "boot_log": "logs",
        "boot_trouble": "logs",
    }

    def __init__(self, state: Path) -> None:
        self._clock = FakeClock()
        self._cloud = SimCloud(state=state, machines="memory", clock=self._clock)
        self._clients: list[RunPod] = []

    def __enter__(self) -> RunPodBench:
        self._cloud.__enter__()
        self.secret = self._cloud.env["RUNPOD_API_KEY"]
        self.provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._cloud.close()

    def with_key(self, which: str) -> RunPod:
        env = self._cloud.env
        keys = {
            "same": self.secret,
            "wrong": "rpa_WRONG",
            "another": env["SIMCLOUD_RUNPOD_OTHER_KEY"],
        }
        client = RunPod(
            SecretStr(keys[which]),
            url=env["GPULEASE_RUNPOD_URL"],
            graphql_url=env["GPULEASE_RUNPOD_GRAPHQL_URL"],
            log_quiet_s=0.3,
            clock=self._clock,
        )
        self._clients.append(client)
        return client

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self._cloud.switch(page_size=1)
        elif fault == "odd_catalog":
            self._cloud.switch(odd_catalog=True)
        elif fault == "cluster_member":
            self._cloud.switch(clusters=[options["label"]])
        else:
            self._cloud.fault(fault, **options)  # type: ignore[arg-type]  # `operation` is text

    def rented(self) -> list[str]:
        rows = self._cloud.machines()
        return sorted(str(row["label"]) for row in rows if row["ended_at"] is None)

    def wait(self, seconds: float) -> None:
        self._cloud.advance(seconds)
