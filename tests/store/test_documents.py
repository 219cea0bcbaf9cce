from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import get_args, get_type_hints

from orchestrator.budget.ledger import Entry
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Wish
from orchestrator.store.documents import SCHEMA, lease_document, run_document, to_lease, to_run
from tests.conventions.source import PROJECT
from tests.runs.samples import lease, run

GOLDEN = PROJECT / "tests" / "golden" / "store"


def shape(kind: type, seen: set[type]) -> Iterator[str]:
    """A line for each field and value that the documents of a store may hold."""
    if kind in seen:
        return
    seen.add(kind)
    if issubclass(kind, Enum):
        yield from (f"{kind.__name__} = {one.value}" for one in kind)
    if not is_dataclass(kind):
        return
    hints = get_type_hints(kind)
    for field in fields(kind):
        yield f"{kind.__name__}.{field.name}: {field.type}"
        waiting: list[object] = [hints[field.name]]
        while waiting:
            hint = waiting.pop()
            waiting += get_args(hint)
            if isinstance(hint, type):
                yield from shape(hint, seen)


def test_a_run_and_its_leases_come_back_as_they_were() -> None:
    held = replace(lease(state=LeaseState.HELD, machine_id="m1"), version=7)
    made = replace(run(leases=(held,)), version=3, wish=Wish.CANCEL)

    again = to_lease(lease_document(held), 7)

    assert again == held
    assert to_run(run_document(made), 3, "cancel", [again]) == made


def test_what_has_a_column_of_its_own_is_not_in_the_document_too() -> None:
    made = replace(run(leases=(lease(),)), version=3, wish=Wish.CANCEL)

    assert run_document(made) == run_document(replace(made, leases=(), version=0, wish=Wish.GO_ON))


def test_what_an_older_version_cannot_read_has_another_number() -> None:
    """An older driver fails at a state that it does not know, and drops a field when it writes.

    Where a version with this number was delivered, a change takes a migration, if only an empty
    one, and a golden file of its own. Else UPDATE_GOLDEN=1 writes this one anew.
    """
    seen: set[type] = set()
    said = "\n".join(line for kind in (Run, Lease, Entry) for line in shape(kind, seen)) + "\n"
    path = GOLDEN / f"schema-{SCHEMA}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(said)

    assert said == path.read_text(), "the documents of the store changed: see this test's words"
