"""The published shape for what never became a run. Pure."""

from __future__ import annotations

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.errors import GpuleaseError
from orchestrator.runs.view import ErrorView, RunView


def error_view(error: GpuleaseError) -> ErrorView:
    return {"code": error.code, "problem": error.problem, "hint": error.hint}


def refused_view(error: GpuleaseError, *, name: str = "", kind: str = "") -> RunView:
    """A run that is none: nothing was rented, and `error` says why."""
    no_capacity = error.exit_code == ExitCode.NO_OFFER
    return {
        "schema": 1,
        "run": None,
        "name": name,
        "kind": kind,
        "state": "ended",
        "outcome": "no_capacity" if no_capacity else "refused",
        "exit_code": error.exit_code,
        "provider": None,
        "offer": None,
        "cap_usd": "0",
        "spent_upper_usd": "0",
        "cost_usd": "0",
        "billed_usd": None,
        "forecast": {"cost_usd": ["0", "0"], "hours": [0.0, 0.0]},
        "phases_s": {},
        "progress": {},
        "metrics": {},
        "losses": [],
        "device": "",
        "machines": [],
        "returned": {"proven": True, "at": None},
        "guard": "",
        "host_key_by": "",
        "artifacts": [],
        "artifacts_dir": "",
        "artifacts_at": "",
        "artifacts_missing": [],
        "log": "",
        "error": error_view(error),
        "waiting": "",
        "notes": [],
        "burn_usd_per_hour": "0",
        "created_at": "",
        "deadline_at": None,
        "kept_until": None,
        "ended_at": None,
    }
