"""Paperspace under the contract suite: its simulator is simcloud, over real HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from orchestrator.providers.paperspace import Paperspace
from orchestrator.spec.resources import Need
from tests.contract.cloud_bench import CloudBench

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


class PaperspaceBench(CloudBench):
    """A team."""

    simulated = "paperspace"
    need = Need(gpu_memory_gib=16)
    faults = frozenset([*ANY_CALL, *BELONGS_TO, "small_pages"]) - _NOT_PAPERSPACES
    asks: Mapping[str, str] = {
        "identity": "account",
        "balance_usd": "",
        "boot_trouble": "logs",
        "list_leftovers": "keys",
        "delete_leftover": "keys",
    }

    def _client(self, key: SecretStr, env: Mapping[str, str]) -> Paperspace:
        return Paperspace(
            key,
            url=env["GPULEASE_PAPERSPACE_URL"],
            ssh_port=int(env["GPULEASE_PAPERSPACE_SSH_PORT"]),
            clock=self._clock,
        )

    def break_next(self, fault: str, **options: float | int | str) -> None:
        if options.get("operation") == "graphql":  # where the account's name is told
            options["operation"] = "account"
        super().break_next(fault, **options)
