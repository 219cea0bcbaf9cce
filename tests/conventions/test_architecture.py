"""The state diagram in ARCHITECTURE.md is the table of the code, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from orchestrator.runs.states import LEASE_MOVES, MOVES, LeaseState, State
from tests.conventions.source import PROJECT

PAGE = PROJECT / "ARCHITECTURE.md"
BEGIN = "<!-- states:begin -->\n"
END = "<!-- states:end -->"
REDRAW = "python -m tests.conventions.test_architecture"

S = TypeVar("S", State, LeaseState)


def diagram(moves: Mapping[S, Mapping[S, str]], first: S) -> str:
    """A mermaid diagram of one table: every move with its reason."""
    lines: list[str] = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for start, ends in moves.items():
        lines += [f"    {start} --> {end}: {label(reason)}" for end, reason in ends.items()]
        if not ends:
            lines.append(f"    {start} --> [*]")
    return "\n".join([*lines, "```", ""])


def label(reason: str) -> str:
    """A reason as mermaid takes it: a colon would begin another label.

    >>> label("nothing was rented: the next offer")
    'nothing was rented – the next offer'
    """
    return reason.replace(":", " –")


def drawn() -> str:
    run = diagram(MOVES, State.PLANNED)
    lease = diagram(LEASE_MOVES, LeaseState.INTENDED)
    return f"A run:\n\n{run}\nA lease:\n\n{lease}"


def redrawn(page: str) -> str:
    """The page with what is between the markers drawn anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "ARCHITECTURE.md has lost its markers"
    return before + BEGIN + drawn() + END + after


def test_the_state_diagram_is_the_table_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == redrawn(page), f"draw it again: {REDRAW}"


def test_every_move_and_its_reason_is_drawn() -> None:
    text = drawn()

    for start, ends in MOVES.items():
        for end, reason in ends.items():
            assert f"    {start} --> {end}: {label(reason)}\n" in text


def test_no_reason_breaks_the_diagram() -> None:
    reasons = [reason for ends in MOVES.values() for reason in ends.values()]
    reasons += [reason for ends in LEASE_MOVES.values() for reason in ends.values()]

    assert not [reason for reason in reasons if set(label(reason)) & set(":;#\n")]


def test_a_changed_table_is_found() -> None:
    page = f"# x\n{BEGIN}A run:\n{END}\nmore\n"

    assert redrawn(page) != page
    assert redrawn(redrawn(page)) == redrawn(page)
    assert redrawn(page).endswith(f"{END}\nmore\n")


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
