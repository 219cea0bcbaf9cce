from __future__ import annotations

from orchestrator.cli.commands.arguments import to_sets


def test_a_shorthand_wins_over_a_set_of_the_same_field() -> None:
    assert to_sets(["budget.max_cost=9"], None, "2", "1h") == [
        "budget.max_cost=9",
        "budget.max_cost=2",
        "budget.max_duration=1h",
    ]
