from __future__ import annotations

from dataclasses import replace

from orchestrator.runs.states import LeaseState, Wish
from orchestrator.store.documents import lease_document, run_document, to_lease, to_run
from tests.runs.samples import lease, run


def test_a_run_and_its_leases_come_back_as_they_were() -> None:
    held = replace(lease(state=LeaseState.HELD, machine_id="m1"), version=7)
    made = replace(run(leases=(held,)), version=3, wish=Wish.CANCEL)

    again = to_lease(lease_document(held), 7)

    assert again == held
    assert to_run(run_document(made), 3, "cancel", [again]) == made


def test_what_has_a_column_of_its_own_is_not_in_the_document_too() -> None:
    made = replace(run(leases=(lease(),)), version=3, wish=Wish.CANCEL)

    assert run_document(made) == run_document(replace(made, leases=(), version=0, wish=Wish.GO_ON))
