"""Accounts and money: machines, keys, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from orchestrator.app.base import Verbs
from orchestrator.budget.ledger import accrued_usd, committed_usd
from orchestrator.budget.month import month_of, parse_month
from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.lifecycle.heartbeat import Heartbeat
from orchestrator.lifecycle.reconciling import reconcile
from orchestrator.lifecycle.reconciling import to_view as to_reconcile_view
from orchestrator.lifecycle.statement import month_lines, month_statement
from orchestrator.lifecycle.views import (
    to_machine_view,
)
from orchestrator.notify.webhook import SECRET_NAME
from orchestrator.providers.base import Account
from orchestrator.providers.doubts import Doubt
from orchestrator.providers.registry import doubts, provider_names
from orchestrator.runs.view import (
    LedgerLineView,
    LedgerView,
    MachineView,
    ReconcileView,
)
from orchestrator.sizing.hub import token_owner


class Accounting(Verbs):
    """What is asked of accounts and of the books."""

    def machines(self) -> tuple[list[MachineView], list[str]]:
        """Every machine on every account, and one sentence per account that failed."""
        found, failures, _ = self._parts.reaper.look(self._parts.usable())
        now_s = self._clock.now_s()
        return [to_machine_view(one, now_s) for one in found], failures

    def reap(
        self, *, delete: bool, past_deadline: bool, report: Callable[[str], None]
    ) -> tuple[list[MachineView], list[str]]:
        """Classify; with `delete` also return what may go back, and see to a driver where runs are
        open: it keeps their books.

        With `past_deadline` it is what a reaper on another host does, which leaves a sign of life.
        Returns: machines that were (or, without `delete`, would be) returned; failures.
        """
        now_s = self._clock.now_s()
        accounts = self._parts.usable()
        if past_deadline and not accounts:
            raise MissingCredentials(
                "no account's key is here: nothing was searched",
                hint="gpulease login, or keys in the environment that are exported",
            )
        found, failures, answered = self._parts.reaper.look(accounts)
        chosen = [one for one in found if one.may_return(now_s, past_deadline=past_deadline)]
        if delete:
            self._home.check_writable()
            for one in self._parts.reaper.end(chosen, report):
                failures.append(f"{one.machine.id} on {one.provider} is not proven gone")
                answered.pop(one.provider, None)
            if past_deadline and self._parts.settings.heartbeat:
                self._parts.heartbeat.write(Heartbeat(now_s, answered))
        sweeper = self._parts.sweeper
        left, unanswered = sweeper.look(self._parts.usable(), past=past_deadline)
        failures += [one for one in unanswered if one not in failures]
        for thing in left:
            if delete:
                sweeper.remove(thing, report)
            else:
                report(f"{thing.words} would be removed by --delete")
        if delete and not past_deadline and self._parts.journal.runs(only_open=True, limit=1):
            self.ensure_driver("")
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

    def doubts(self) -> list[tuple[str, Doubt]]:
        """Of each provider, what nobody has tried; needs no key and asks nobody."""
        return [(name, doubt) for name in provider_names() for doubt in doubts(name)]

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

    def reconcile(self, month: str | None) -> ReconcileView:
        """A month's machines beside their bills; what the bills say is kept."""
        self._home.check_writable()
        parts = self._parts
        now_s = self._clock.now_s()
        asked = parse_month(month) if month else month_of(now_s)
        found = reconcile(parts.journal, parts.accounts, asked, now_s)
        names = {run.id: run.name for run in parts.journal.runs(limit=100_000)}
        return to_reconcile_view(asked, found, names)

    def ledger_lines(self, month: str | None) -> list[LedgerLineView]:
        """Every entry of a month."""
        asked = parse_month(month) if month else month_of(self._clock.now_s())
        return month_lines(self._parts.journal, asked)
