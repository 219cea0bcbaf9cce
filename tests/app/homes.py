"""Runs in the store of a home."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.runs.run import Run
from orchestrator.runs.states import Outcome, State
from orchestrator.store.journal import Journal
from tests.runs.samples import NOW_S, run


def add(journal: Journal, made: Run) -> Run:
    return journal.add(made, [], lambda _: None, 0.0)


def ended(run_id: str, name: str = "", *, age_s: float = 0.0) -> Run:
    made = run(run_id, state=State.ENDED, outcome=Outcome.SUCCEEDED, created_s=NOW_S - age_s)
    return replace(made, name=name or made.name)
