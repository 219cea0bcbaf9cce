"""Runs: looked at, followed, cancelled, fetched."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orchestrator.app.base import Verbs
from orchestrator.artifacts.elsewhere import SCRATCH, Pulled, pull_at
from orchestrator.artifacts.log import LogFile
from orchestrator.errors import UsageError
from orchestrator.lifecycle.finding import find_run
from orchestrator.runs.lease import TOMBSTONE_WATCH_S
from orchestrator.runs.states import LeaseState, State, Wish
from orchestrator.runs.view import (
    RunView,
)
from orchestrator.store.home import run_folder


class Following(Verbs):
    """What is asked of a run."""

    def follow(self, run_id: str) -> Iterator[RunView]:
        """The run's view whenever it changed (and at least each second).

        Ends with the run, or with its job where the machine is kept.
        """
        never = threading.Event()
        looked = 0
        while True:
            run = self._run(run_id)
            yield self._view(run)
            if not run.is_open or (run.state is State.KEPT and run.wish is Wish.GO_ON):
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
            closed = lease.move(
                LeaseState.CLOSED,
                gone_s=now_s,
                returned_by="user",
                watch_until_s=now_s + TOMBSTONE_WATCH_S,
            )
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
        if run.bucket_folder and run.leases and not run.brought_home:
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
