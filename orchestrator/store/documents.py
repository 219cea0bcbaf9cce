"""What the rows of a store hold: runs and leases as JSON, and the number of the schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA = "0003"  # raised for new states and fields too: see its test

T = TypeVar("T")


def run_document(run: Run) -> str:
    """A run without what has columns or rows of its own."""
    return _adapter(Run).dump_json(replace(run, leases=(), version=0, wish=Wish.GO_ON)).decode()


def lease_document(lease: Lease) -> str:
    return _adapter(Lease).dump_json(replace(lease, version=0)).decode()


def to_run(document: str, version: int, wish: str, leases: Iterable[Lease]) -> Run:
    run: Run = _adapter(Run).validate_json(document)
    return replace(run, version=version, wish=Wish(wish), leases=tuple(leases))


def to_lease(document: str, version: int) -> Lease:
    lease: Lease = _adapter(Lease).validate_json(document)
    return replace(lease, version=version)


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made when a document is first read or written: a third of a second."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
