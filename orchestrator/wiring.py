"""Builds the App from Settings: the only module that names concrete classes together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestrator.runs.view import MachineView, OfferView, PlanView, RunView
from orchestrator.settings import Settings
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Wishes of one `submit` that are not part of the job."""

    again: bool = False
    detach: bool = False
    ephemeral_keys: bool = False


class App:
    """Every verb of the command line, without any printing."""

    def __init__(self, settings: Settings) -> None: ...

    def offers(self, need: Need, providers: list[str]) -> tuple[list[OfferView], list[str]]:
        """Live offers, cheapest first, and one sentence per provider that could not be asked."""
        raise NotImplementedError

    def check(self, job: Job) -> list[tuple[str, bool | None, str, str]]:
        """(what, ok or None for unknown, finding, fix): data, labels, model, what is sent."""
        raise NotImplementedError

    def plan(self, job: Job) -> PlanView:
        """Ranked offers, forecast, cap and guards; spends nothing.

        Raises: NoOffer, MissingCredentials, BudgetRefused, ProviderError.
        """
        raise NotImplementedError

    def submit(self, job: Job, plan: PlanView, options: SubmitOptions) -> tuple[str, bool]:
        """Record run, lease and commitment, make sure a driver lives.

        Returns: the run's id, and false when an open run of the same name is followed instead.
        """
        raise NotImplementedError

    def follow(self, run_id: str) -> Iterator[RunView]:
        """The run's view whenever it changed (and at least each second); ends with the run."""
        raise NotImplementedError

    def log_lines(self, run_id: str, *, follow: bool, offset: int = 0) -> Iterator[tuple[int, str]]:
        """(offset after it, line) of the log at home; terminal escapes are already removed."""
        raise NotImplementedError

    def find(self, reference: str, *, for_change: bool = False) -> str:
        """Run id of a prefix, a name, or `last`. Raises UsageError."""
        raise NotImplementedError

    def runs(self, *, all_runs: bool) -> list[RunView]:
        raise NotImplementedError

    def view(self, run_id: str) -> RunView:
        raise NotImplementedError

    def cancel(self, run_id: str, *, now: bool) -> RunView:
        """Record the wish and wake the driver."""
        raise NotImplementedError

    def close_seen_gone(self, run_id: str) -> RunView:
        """A person says that the machines are gone: stop counting, keep a tombstone."""
        raise NotImplementedError

    def pull(self, run_id: str, destination: Path | None) -> RunView:
        """Fetch what is not home yet, and copy to `destination` when given."""
        raise NotImplementedError

    def ssh_command(self, run_id: str) -> list[str]:
        """argv of an OpenSSH login to the run's machine, host key pinned. Raises UsageError."""
        raise NotImplementedError

    def machines(self) -> tuple[list[MachineView], list[str]]:
        """Every machine on every account, and one sentence per account that failed."""
        raise NotImplementedError

    def reap(
        self, *, delete: bool, past_deadline: bool, report: Callable[[str], None]
    ) -> tuple[list[MachineView], list[str]]:
        """Classify; with `delete` also return unknown orphans of this home.

        Returns: machines that were (or, without `delete`, would be) returned; failures.
        """
        raise NotImplementedError

    def verify_key(self, name: str, key: str) -> tuple[str, str]:
        """Identity and balance text that a provider (or `huggingface`) gives for a key.

        Raises: MissingCredentials when it is refused, UsageError for an unknown name.
        """
        raise NotImplementedError

    def doctor(self) -> list[tuple[str, bool | None, str, str]]:
        """(what, ok or None for unknown, finding, fix) for every prerequisite."""
        raise NotImplementedError

    def drive(self) -> None:
        """Be the background driver of this home until no run is open."""
        raise NotImplementedError

    def month_usd(self) -> tuple[Decimal, Decimal, Decimal]:
        """Spent this month, committed now, limit."""
        raise NotImplementedError
