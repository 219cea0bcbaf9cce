"""What every part of the App works with."""

from __future__ import annotations

from orchestrator import __version__
from orchestrator.errors import UsageError
from orchestrator.lifecycle.calling import call_driver
from orchestrator.lifecycle.plan import Plan
from orchestrator.lifecycle.views import to_run_view
from orchestrator.runs.run import Run
from orchestrator.runs.view import RunView
from orchestrator.settings import Settings
from orchestrator.store.home import run_folder
from orchestrator.wiring import Parts


class Verbs:
    """One home, and what belongs to it."""

    def __init__(self, settings: Settings) -> None:
        self._parts = Parts(settings)
        self._clock = self._parts.clock
        self._home = self._parts.home
        self._plans: dict[str, Plan] = {}

    def ensure_driver(self, run_id: str) -> None:
        """Make sure that one driver of this home lives, and hand it this process's keys.

        Raises: HomeError for a copy of a home, and as `call_driver`.
        """
        self._home.check_writable()
        call_driver(
            self._home.folder,
            self._clock,
            version=__version__,
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
