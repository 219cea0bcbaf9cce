"""Which deaths are tried."""

from __future__ import annotations

from tests.crash.life import deaths


def around(*names: str) -> list[str]:
    return [f"{end} {name}" for name in names for end in ("before", "after")]


def test_a_write_that_follows_many_reads_is_a_death_of_its_own() -> None:
    passed = around(*["get"] * 9, "save looking→planned", *["get"] * 9)

    chosen = deaths(passed)

    just_before = passed.index("before save looking→planned") - 1
    assert passed[just_before] == "after get" and just_before in chosen
    assert len(chosen) < len(passed) / 2  # what only repeats is left out


def test_dying_behind_one_effect_and_before_the_next_is_tried_once() -> None:
    passed = around("get", "list")

    assert [passed[one] for one in deaths(passed)] == ["before get", "after get", "after list"]
