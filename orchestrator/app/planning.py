"""Before renting: offers, checks, plans; and the submit that begins a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.app.base import Verbs
from orchestrator.app.refusals import (
    artifact_sentences,
    check_bucket,
    check_kept,
    check_secrets,
)
from orchestrator.app.reusing import plan_on_kept, submit_on_kept
from orchestrator.errors import (
    BadCredentials,
    MissingCredentials,
    NoOffer,
    StaleRun,
    UsageError,
)
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.lifecycle.drill import (
    drill_cap_usd,
    drill_job,
    drill_material,
    with_cap,
)
from orchestrator.lifecycle.finding import free_name, open_run
from orchestrator.lifecycle.homeline import home_bytes_per_s
from orchestrator.lifecycle.plan import Plan, make_plan, to_wait
from orchestrator.lifecycle.reclaims import stays_of, with_reclaims
from orchestrator.lifecycle.sending import explain_path, parts_of
from orchestrator.lifecycle.size import SizeView, SizeWish, size_model
from orchestrator.lifecycle.snapshot import keep_code
from orchestrator.lifecycle.submitting import new_run_id, record
from orchestrator.lifecycle.views import (
    to_offer_view,
    to_plan_view,
)
from orchestrator.remote.code import Explained
from orchestrator.runs.states import State
from orchestrator.runs.view import (
    OfferView,
    PlanView,
)
from orchestrator.spec.job import Job
from orchestrator.spec.resources import Need
from orchestrator.store.home import run_folder


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Wishes of one `submit` that are not part of the job."""

    again: bool = False
    detach: bool = False
    ephemeral_keys: bool = False
    wait_s: float = 0.0  # for so long, something to rent is waited for
    keep_s: float = 0.0  # how long the machine stays after its job
    reuse: str = ""  # a run whose kept machine is to be used


class Planning(Verbs):
    """What is asked before anything is rented, and the order to rent."""

    def offers(self, need: Need, providers: list[str]) -> tuple[list[OfferView], list[str]]:
        """Live offers, cheapest first, and one sentence per provider that could not be asked."""
        found, failures = ask_all(self._parts.accounts, self._parts.usable(providers), need)
        if need.spot:
            now_s = self._clock.now_s()
            stays = stays_of(self._parts.journal.leases(), now_s)
            found = with_reclaims(found, stays, now_s)
        found.sort(key=lambda offer: (offer.price.usd_per_hour, offer.id))
        views = [to_offer_view(offer) for offer in found]
        return views, [f"{name}: {error.problem}" for name, error in failures.items()]

    def check(
        self, job: Job, rehearsal: Callable[[str], None] | None = None
    ) -> list[tuple[str, bool | None, str, str]]:
        """(what, ok or None for unknown, finding, fix): data, labels, model, what is sent.

        Args:
            rehearsal: also train the first batch here, telling this of each part that begins.
        """
        from orchestrator.lifecycle.checkup import check_job

        findings = check_job(job, self._parts.prepare, self._parts.settings.private)
        if rehearsal is None or any(ok is False for _, ok, _, _ in findings):
            return findings
        from orchestrator.lifecycle.rehearsal import rehearse

        stage = self._parts.stage(rehearsal)
        return [*findings, *rehearse(self._parts.prepare(job), stage)]

    def explain(self, job: Job, path: str) -> Explained:
        """Whether a path is sent with the job, and by which rule. Raises: UsageError."""
        return explain_path(job, path, Path.cwd(), self._parts.settings.private)

    def size(self, model: str, wish: SizeWish) -> SizeView:
        """What training a model takes.

        Raises: UsageError, and as `sizing.hub.read_model`.
        """
        return size_model(self._parts.model_facts(model), wish)

    def fetch_data(self, address: str) -> Path:
        """The data file at an address, brought to this computer. Raises: GpuleaseError."""
        return self._parts.fetch(address)

    def plan_drill(self, provider: str) -> tuple[Job, PlanView]:
        """A drill of a provider's guard, with its cap, as `submit` takes it; spends nothing.

        Raises: UsageError where there is no guard to be tried; as `plan`.
        """
        capabilities = self._parts.accounts.provider(provider).capabilities
        folder = self._home.folder / "drill"
        folder.mkdir(mode=0o700, exist_ok=True)
        material = drill_material(drill_job(provider, folder), provider, capabilities)
        offers = self._parts.accounts.provider(provider).list_offers(material.need)
        known = self._parts.recall([provider])
        now_s = self._clock.now_s()
        kinds = {provider: capabilities}
        plan = make_plan(material, offers, kinds, now_s=now_s, failures=[], known=known)
        if plan.candidates:
            first = plan.candidates[0].offer
            job = with_cap(material.job, drill_cap_usd(first, capabilities))
            material = replace(material, job=job)
            plan = make_plan(material, offers, kinds, now_s=now_s, failures=[], known=known)
        self._plans[material.job.name] = plan
        return material.job, to_plan_view(plan, [], [])

    def plan(
        self, job: Job, *, wait_s: float = 0.0, keep_s: float = 0.0, reuse: str = ""
    ) -> PlanView:
        """Ranked offers, forecast, cap and guards; spends nothing.

        Without an offer that fits, the plan says why not and what would help; with `wait_s` it
        says until when something is waited for. With `reuse` the one offer is that run's kept
        machine; UsageError when it has none.
        Raises: NoOffer when nothing is for rent, MissingCredentials, BudgetRefused, ProviderError.
        """
        material = self._parts.prepare(job, home_bytes_per_s(self._parts.journal.leases()))
        material = replace(material, launch=replace(material.launch, keep_s=keep_s))
        if reuse:
            plan = plan_on_kept(self._parts, material, reuse)
            check_secrets(self._parts, plan)
            check_bucket(self._parts, plan)
            return self._planned(job, plan)
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
            known=self._parts.recall(capabilities),
            may_wait=wait_s > 0,
        )
        if wait_s > 0 or (job.spot and plan.candidates):
            # Where a bid is lost, whoever has an offer then is asked again.
            plan = to_wait(plan, names, wait_s)
        check_secrets(self._parts, plan)
        if plan.candidates or plan.order is not None:
            check_bucket(self._parts, plan)
        return self._planned(job, plan)

    def _planned(self, job: Job, plan: Plan) -> PlanView:
        self._plans[job.name] = plan
        parts = parts_of(job, self._parts.settings.private)
        return to_plan_view(plan, artifact_sentences(self._parts, plan), parts)

    def submit(self, job: Job, plan: PlanView, options: SubmitOptions) -> tuple[str, bool]:
        """Record run, lease and commitment, make sure a driver lives.

        Returns: the run's id, and false when an open run of the same name is followed instead.
        """
        self._home.check_writable()
        if options.again:
            name = free_name(self._parts.journal, job.name)
            job = job.model_copy(update={"name": name})
        elif not options.reuse and (open_id := open_run(self._parts.journal, job.name)):
            self._refuse_kept(open_id)
            self.ensure_driver(open_id)
            return open_id, False
        made = self._plans.get(plan["name"])
        if made is None or made.material.job != job:
            if job.name == plan["name"] or made is None:
                wishes = {"wait_s": options.wait_s, "keep_s": options.keep_s}
                self.plan(job, **wishes, reuse=options.reuse)
                made = self._plans[job.name]
            else:
                made = replace(made, material=replace(made.material, job=job))
        if options.detach and not options.ephemeral_keys:
            check_kept(self._parts, made)
        if not made.candidates and made.order is None:
            raise NoOffer("nothing that is for rent now fits this job", hint=made.relaxation)
        if options.reuse:
            run_id = submit_on_kept(self._parts, job, made, options.reuse)
            self.ensure_driver(run_id)
            return run_id, True
        cap_usd = made.cap_usd if made.cap_usd is not None else made.suggested_usd
        run_id = new_run_id()
        private = self._parts.settings.private
        keep_code(run_folder(self._home.folder, run_id), job, private=private)
        provider = made.candidates[0].offer.provider if made.candidates else ""
        try:
            record(
                self._parts.journal,
                made,
                run_id=run_id,
                home_id=self._home.id,
                capabilities=(
                    self._parts.accounts.provider(provider).capabilities if provider else None
                ),
                cap_usd=cap_usd,
                limits=self._parts.settings.limits,
                now_s=self._clock.now_s(),
            )
        except StaleRun:
            if open_id := open_run(self._parts.journal, job.name):
                self._refuse_kept(open_id)
                return open_id, False
            raise
        self.ensure_driver(run_id)
        return run_id, True

    def _refuse_kept(self, run_id: str) -> None:
        """An open run whose job is over cannot be followed in place of a new one."""
        run = self._run(run_id)
        if run.state is State.KEPT:
            raise UsageError(
                f"{run.name} ({run_id}) is over, and its machine is kept",
                hint=f"--reuse {run_id} runs on it, --again rents another, "
                f"gpulease cancel {run_id} gives it back",
            )
