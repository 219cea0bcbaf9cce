"""Which run a person means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.store.archive import Archive

if TYPE_CHECKING:
    from orchestrator.store.journal import Journal


def find_run(journal: Journal | Archive, reference: str, *, for_change: bool) -> str:
    """Run id of a prefix, a name, or `last`; an open run's name wins over ended ones'.

    Raises: UsageError when none fits, or several do; with `for_change` also for a `last` that
    could be taken for another.
    """
    if reference == "last":
        runs = journal.runs(limit=1)
        if not runs:
            raise UsageError("there is no run yet", hint="gpulease submit JOB")
        if for_change and len(journal.open_ids()) > 1:
            raise UsageError("more than one run is open: name the one you mean")
        return runs[0].id
    found = [journal.run(one) for one in journal.find_ids(reference)]
    if open_named := [run.id for run in found if run.is_open and run.name == reference]:
        return open_named[0]
    if not found or (len(found) > 1 and any(run.name != reference for run in found)):
        problem = f"{len(found)} runs fit {reference!r}" if found else f"no run is {reference!r}"
        raise UsageError(problem, hint="gpulease ps --all lists them")
    return found[0].id


def open_run(journal: Journal, name: str) -> str | None:
    """The open run of a name."""
    found = [journal.run(one) for one in journal.find_ids(name)]
    return next((run.id for run in found if run.is_open and run.name == name), None)


def free_name(journal: Journal, name: str) -> str:
    """`name`, or with a number behind it: one that no open run has."""
    number, free = 1, name
    while open_run(journal, free):
        number += 1
        free = f"{name}-{number}"
    return free
