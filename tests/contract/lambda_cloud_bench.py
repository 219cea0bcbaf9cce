"""Lambda under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from infra.simcloud.cloud import SimCloud
from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.clock import FakeClock
from orchestrator.providers.lambda_cloud import Lambda
from orchestrator.spec.resources import Need

# What Lambda has not: prepaid money, stopped machines, logs, bills. A launch tells no price, and a
# 409 to one proves nothing.
_NOT_LAMBDAS = {
    "insufficient_funds",
    "too_large",
    "unprocessable",
    "price_above",
    "conflict",
    "exited",
    "image_error",
    "billing_absent",
    "billing_lag_s",
    "graphql_errors",
    "graphql_lies",
}


class LambdaBench:
    """Machines without processes, a clock that moves when told, and counted calls."""

    need = Need(gpu_memory_gib=24)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"]) - _NOT_LAMBDAS
    asks: Mapping[str, str] = {
        "identity": "",
        "balance_usd": "",
        "list_leftovers": "account",
        "delete_leftover": "account",
    }

    def __init__(self, state: Path) -> None:
        self._clock = FakeClock()
        self._cloud = SimCloud(
            state=state, machines="memory", clock=self._clock, providers=("lambda",)
        )
        self._paces = state / "pace"
        self._clients: list[Lambda] = []

    def __enter__(self) -> LambdaBench:
        self._cloud.__enter__()
        self._cloud.switch(calls_per_s=1.0, launch_every_s=12.0)
        self.secret = self._cloud.env["LAMBDA_API_KEY"]
        self.provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._cloud.close()

    def with_key(self, which: str) -> Lambda:
        env = self._cloud.env
        keys = {
            "same": self.secret,
            "wrong": "secret_WRONG",
            "another": env["SIMCLOUD_LAMBDA_OTHER_KEY"],
        }
        client = Lambda(
            SecretStr(keys[which]),
            url=env["GPULEASE_LAMBDA_URL"],
            ssh_port=int(env["GPULEASE_LAMBDA_SSH_PORT"]),
            paces=self._paces,
            clock=self._clock,
        )
        self._clients.append(client)
        return client

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if fault == "small_pages":
            self._cloud.switch(page_size=1)
        else:
            self._cloud.fault(fault, **options)  # type: ignore[arg-type]  # `operation` is text

    def rented(self) -> list[str]:
        rows = self._cloud.machines()
        return sorted(str(row["label"]) for row in rows if row["ended_at"] is None)

    def wait(self, seconds: float) -> None:
        self._cloud.advance(seconds)
