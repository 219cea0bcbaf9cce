"""Lambda under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import SecretStr

from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.providers.lambda_cloud import Lambda
from orchestrator.spec.resources import Need
from tests.contract.cloud_bench import CloudBench

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


class LambdaBench(CloudBench):
    """Calls are counted, as the documents say."""

    simulated = "lambda"
    switches: ClassVar = {"calls_per_s": 1.0, "launch_every_s": 12.0}
    need = Need(gpu_memory_gib=24)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"]) - _NOT_LAMBDAS
    asks: Mapping[str, str] = {
        "identity": "",
        "balance_usd": "",
        "list_leftovers": "account",
        "delete_leftover": "account",
    }

    def _client(self, key: SecretStr, env: Mapping[str, str]) -> Lambda:
        return Lambda(
            key,
            url=env["GPULEASE_LAMBDA_URL"],
            ssh_port=int(env["GPULEASE_LAMBDA_SSH_PORT"]),
            paces=self._state / "pace",
            clock=self._clock,
        )
