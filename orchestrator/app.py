"""Every verb of the command line, without any printing."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from orchestrator.artifacts.elsewhere import SCRATCH, Pulled, pull_at
from orchestrator.artifacts.log import LogFile
from orchestrator.budget.ledger import accrued_usd, committed_usd
from orchestrator.budget.month import month_of, parse_month
from orchestrator.errors import BadCredentials, MissingCredentials, NoOffer, StaleRun, UsageError
from orchestrator.lifecycle.calling import call_driver
from orchestrator.lifecycle.cargo import keep_code, run_folder
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.lifecycle.driver import Driver
from orchestrator.lifecycle.finding import find_run, free_name, open_run
from orchestrator.lifecycle.plan import Plan, make_plan
from orchestrator.lifecycle.size import SizeView, SizeWish, size_model
from orchestrator.lifecycle.statement import month_lines, month_statement
from orchestrator.lifecycle.submitting import new_run_id, record
from orchestrator.lifecycle.views import (
    to_machine_view,
    to_offer_view,
    to_plan_view,
    to_run_view,
)
from orchestrator.notify.webhook import SECRET_NAME
from orchestrator.providers.base import Account
from orchestrator.providers.registry import provider_names
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Wish
from orchestrator.runs.view import (
    LedgerLineView,
    LedgerView,
    MachineView,
    OfferView,
    PlanView,
    RunView,
)
from orchestrator.settings import Settings
from orchestrator.sizing.hub import token_owner
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need
from orchestrator.wiring import Parts


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Wishes of one `submit` that are not part of the job."""

    again: bool = False
    detach: bool = False
    ephemeral_keys: bool = False


class App:
    """Every verb of the command line, without any printing."""

    def __init__(self, settings: Settings) -> None:
        self._parts = Parts(settings)
        self._clock = self._parts.clock
        self._home = self._parts.home
        self._plans: dict[str, Plan] = {}

    # planning

    def offers(self, need: Need, providers: list[str]) -> tuple[list[OfferView], list[str]]:
        """Live offers, cheapest first, and one sentence per provider that could not be asked."""
        found, failures = ask_all(self._parts.accounts, self._parts.usable(providers), need)
        found.sort(key=lambda offer: (offer.price.usd_per_hour, offer.id))
        views = [to_offer_view(offer) for offer in found]
        return views, [f"{name}: {error.problem}" for name, error in failures.items()]

    def check(self, job: Job) -> list[tuple[str, bool | None, str, str]]:
        """(what, ok or None for unknown, finding, fix): data, labels, model, what is sent."""
        from orchestrator.lifecycle.checkup import check_job

        return check_job(job, self._parts.prepare)

    def size(self, model: str, wish: SizeWish) -> SizeView:
        """What training a model takes.

        Raises: UsageError, and as `sizing.hub.read_model`.
        """
        return size_model(self._parts.model_facts(model), wish)

    def fetch_data(self, address: str) -> Path:
        """The data file at an address, brought to this computer. Raises: GpuleaseError."""
        return self._parts.fetch(address)

    def plan(self, job: Job) -> PlanView:
        """Ranked offers, forecast, cap and guards; spends nothing.

        Without an offer that fits, the plan says why not and what would help.
        Raises: NoOffer when nothing is for rent, MissingCredentials, BudgetRefused, ProviderError.
        """
        material = self._parts.prepare(job)
        names = self._parts.usable(job.providers)
        if not names:
            raise MissingCredentials(
                "no provider has a key",
                hint=f"{self._parts.key_hint('runpod')}, or --provider local",
            )
        offers, failures = ask_all(self._parts.accounts, names, material.need)
        if not offers and failures:
            name, failure = next(iter(failures.items()))
            if isinstance(failure, MissingCredentials | BadCredentials):
                failure.hint = self._parts.key_hint(name) or failure.hint
            raise failure
        capabilities = {
            name: self._parts.accounts.provider(name).capabilities
            for name in names
            if name not in failures
        }
        plan = make_plan(
            material,
            offers,
            capabilities,
            now_s=self._clock.now_s(),
            failures=[f"{name}: {error.problem}" for name, error in failures.items()],
        )
        self._parts.check_secrets(plan)
        if plan.candidates:
            self._parts.check_balance(plan)
            self._parts.check_bucket(plan)
        self._plans[job.name] = plan
        return to_plan_view(plan, self._parts.artifact_sentences(plan))

    def submit(self, job: Job, plan: PlanView, options: SubmitOptions) -> tuple[str, bool]:
        """Record run, lease and commitment, make sure a driver lives.

        Returns: the run's id, and false when an open run of the same name is followed instead.
        """
        self._home.check_writable()
        if options.again:
            name = free_name(self._parts.journal, job.name)
            job = job.model_copy(update={"name": name})
        elif open_id := open_run(self._parts.journal, job.name):
            self.ensure_driver(open_id)
            return open_id, False
        made = self._plans.get(plan["name"])
        if made is None or made.material.job != job:
            if job.name == plan["name"] or made is None:
                self.plan(job)
                made = self._plans[job.name]
            else:
                made = replace(made, material=replace(made.material, job=job))
        if options.detach and not options.ephemeral_keys:
            self._parts.check_kept(made)
        if not made.candidates:
            raise NoOffer("nothing that is for rent now fits this job", hint=made.relaxation)
        cap_usd = made.cap_usd if made.cap_usd is not None else made.suggested_usd
        run_id = new_run_id()
        keep_code(self._home.folder, run_id, job)
        provider = made.candidates[0].offer.provider
        try:
            record(
                self._parts.journal,
                made,
                run_id=run_id,
                home_id=self._home.id,
                capabilities=self._parts.accounts.provider(provider).capabilities,
                cap_usd=cap_usd,
                limits=self._parts.settings.limits,
                now_s=self._clock.now_s(),
            )
        except StaleRun:
            if open_id := open_run(self._parts.journal, job.name):
                return open_id, False
            raise
        self.ensure_driver(run_id)
        return run_id, True

    # following

    def follow(self, run_id: str) -> Iterator[RunView]:
        """The run's view whenever it changed (and at least each second); ends with the run."""
        never = threading.Event()
        looked = 0
        while True:
            run = self._run(run_id)
            yield self._view(run)
            if not run.is_open:
                return
            if looked % 8 == 0:
                self.ensure_driver(run_id)
            looked += 1
            self._clock.wait(never, 0.25)

    def log_lines(self, run_id: str, *, follow: bool, offset: int = 0) -> Iterator[tuple[int, str]]:
        """(offset after it, line) of the log at home; terminal escapes are already removed."""
        log = LogFile(run_folder(self._home.folder, run_id))
        never = threading.Event()
        while True:
            is_open = self._run(run_id).is_open
            for offset, line in log.lines(offset, whole=not is_open):  # noqa: B020
                yield offset, line
            if not follow or not is_open:
                return
            self._clock.wait(never, 0.25)

    def find(self, reference: str, *, for_change: bool = False) -> str:
        """Run id of a prefix, a name, or `last`. Raises UsageError."""
        return find_run(self._parts.journal, reference, for_change=for_change)

    def runs(self, *, all_runs: bool) -> list[RunView]:
        """Open runs, or all, the newest first."""
        runs = self._parts.journal.runs(only_open=not all_runs)
        if any(run.is_open for run in runs) and not self._home.is_copy:
            self.ensure_driver("")
        return [self._view(run) for run in runs]

    def view(self, run_id: str) -> RunView:
        """One run as it stands."""
        run = self._run(run_id)
        if run.is_open and not self._home.is_copy:
            self.ensure_driver("")
        return self._view(run)

    def cancel(self, run_id: str, *, now: bool) -> RunView:
        """Record the wish and wake the driver."""
        self._home.check_writable()
        self._parts.journal.wish(run_id, Wish.CANCEL_NOW if now else Wish.CANCEL)
        self.ensure_driver(run_id)
        return self.view(run_id)

    def close_seen_gone(self, run_id: str) -> RunView:
        """A person says that the machines are gone: stop counting, keep a tombstone."""
        self._home.check_writable()
        run = self._run(run_id)
        returning = run.returning
        if not returning:
            raise UsageError(
                f"{run.name} has no machine on its way back", hint="gpulease cancel it first"
            )
        now_s = self._clock.now_s()
        after = run
        for lease in returning:
            closed = lease.move(LeaseState.CLOSED, gone_s=now_s, returned_by="user")
            after = after.with_lease(closed)
        self._parts.engine.save(
            run, after.note("closed by a person: not proven"), ["closed by a person"]
        )
        self.ensure_driver(run_id)
        return self.view(run_id)

    def pull(self, run_id: str, destination: Path | None) -> RunView:
        """Fetch what is not home yet, and copy to `destination` when given."""
        run = self._run(run_id)
        source = run_folder(self._home.folder, run_id) / "artifacts"
        if run.is_open:
            self.ensure_driver(run_id)
            raise UsageError(
                f"{run.name} is still open: the driver brings its artifacts home",
                hint=f"gpulease attach {run.name}",
            )
        if run.bucket_folder and run.leases:
            pulled = pull_at(self._parts.store(run), run.bucket_folder, source, self._clock)
            run = replace(run, artifacts=pulled.files, artifacts_missing=pulled.missing)
        if destination is not None:
            if not source.is_dir():
                raise UsageError(f"{run.name} brought nothing home")
            ignored = shutil.ignore_patterns(SCRATCH)
            shutil.copytree(source, destination, dirs_exist_ok=True, ignore=ignored)
        return self._view(run)

    def pull_from(self, address: str, folder: Path) -> Pulled:
        """Bring home what a run left in a bucket; nothing but the bucket need know of the run.

        Raises: UsageError, BucketRefused, BucketDown, ArtifactsError.
        """
        return pull_at(self._parts.store(), address, folder, self._clock)

    def ssh_command(self, run_id: str) -> list[str]:
        """argv of an OpenSSH login to the run's machine, host key pinned. Raises UsageError."""
        return self._parts.login_command(self._run(run_id))

    # accounts

    def machines(self) -> tuple[list[MachineView], list[str]]:
        """Every machine on every account, and one sentence per account that failed."""
        found, failures = self._parts.reaper.look(self._parts.usable())
        now_s = self._clock.now_s()
        return [to_machine_view(one, now_s) for one in found], failures

    def reap(
        self, *, delete: bool, past_deadline: bool, report: Callable[[str], None]
    ) -> tuple[list[MachineView], list[str]]:
        """Classify; with `delete` also return unknown orphans of this home.

        Returns: machines that were (or, without `delete`, would be) returned; failures.
        """
        found, failures = self._parts.reaper.look(self._parts.usable())
        now_s = self._clock.now_s()
        chosen = [one for one in found if one.may_return(now_s, past_deadline=past_deadline)]
        if delete:
            self._home.check_writable()
            for one in chosen:
                if not self._parts.reaper.end(one, report):
                    failures.append(f"{one.machine.id} on {one.provider} is not proven gone")
        return [to_machine_view(one, now_s) for one in chosen], failures

    def verify_key(self, name: str, key: str) -> tuple[str, str]:
        """Identity and balance text that a provider (or `huggingface`) gives for a key.

        Raises: MissingCredentials when it is refused, UsageError for an unknown name.
        """
        if name == "huggingface":
            return token_owner(key, self._parts.settings.hf_endpoint), ""
        if name not in provider_names():
            raise UsageError(f"{name} is no provider", hint=", ".join(provider_names()))
        provider = self._parts.build_provider(name, key)
        provider.list_machines()
        if not isinstance(provider, Account):
            return "", ""
        balance_usd = provider.balance_usd()
        return provider.identity(), "" if balance_usd is None else f"${balance_usd:.2f}"

    def doctor(self) -> list[tuple[str, bool | None, str, str]]:
        """(what, ok or None for unknown, finding, fix) for every prerequisite."""
        from orchestrator.lifecycle.checkup import check_computer, check_webhook

        parts = self._parts
        findings = check_computer(self._home, parts.accounts, parts.usable(), self._clock)
        if url := parts.settings.webhook:
            findings.append(check_webhook(url, parts.keys.get(SECRET_NAME)))
        return findings

    def month_usd(self) -> tuple[Decimal, Decimal, Decimal]:
        """Spent this month, committed now, limit."""
        start_s = month_of(self._clock.now_s()).start_s
        spent_usd = accrued_usd(self._parts.journal.entries(since_s=start_s))
        committed = committed_usd(self._parts.journal.entries())
        return spent_usd, committed, self._parts.settings.limits.month_usd

    def ledger(self, month: str | None) -> LedgerView:
        """A month's statement, this month's when none is named."""
        now_s = self._clock.now_s()
        return month_statement(
            self._parts.journal,
            parse_month(month) if month else month_of(now_s),
            limit_usd=self._parts.settings.limits.month_usd,
            now_s=now_s,
        )

    def ledger_lines(self, month: str | None) -> list[LedgerLineView]:
        """Every entry of a month."""
        asked = parse_month(month) if month else month_of(self._clock.now_s())
        return month_lines(self._parts.journal, asked)

    # the driver

    def drive(self) -> None:
        """Be the background driver of this home until no run is open."""
        self._home.check_writable()
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._parts.accounts.watchers.append(self._parts.reaper.return_known)
        driver = Driver(
            self._parts.journal,
            self._parts.engine,
            self._clock,
            self._home.folder,
            self._parts.keys.take,
            self._parts.chores(),
        )
        driver.serve()

    def ensure_driver(self, run_id: str) -> None:
        """Make sure that one driver of this home lives, and hand it this process's keys."""
        call_driver(
            self._home.folder,
            self._clock,
            keys=self._parts.environment_keys(),
            hidden=self._parts.key_names(),
            nudge=run_id,
            is_over=lambda: bool(run_id) and not self._run(run_id).is_open,
        )

    def _run(self, run_id: str) -> Run:
        try:
            return self._parts.journal.run(run_id)
        except KeyError as error:
            raise UsageError(f"there is no run {run_id}") from error

    def _view(self, run: Run) -> RunView:
        folder = run_folder(self._home.folder, run.id)
        return to_run_view(
            run,
            self._clock.now_s(),
            log_path=str(folder / "log.txt"),
            artifacts_dir=str(folder / "artifacts"),
        )
