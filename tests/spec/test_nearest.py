from __future__ import annotations

from orchestrator.spec.nearest import did_you_mean, nearest, quoted


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("LEARNING_RAT", ["learning_rate", "max_length"]) == "learning_rate"


def test_a_word_like_nothing_gets_no_guess() -> None:
    assert did_you_mean("zzz", ["text", "label"]) == ""


def test_a_quoted_word_cannot_steer_a_terminal_nor_fill_it() -> None:
    assert "\x1b" not in quoted("\x1b]0;title\x07")
    assert len(quoted("x" * 10_000)) < 100
    assert "\n" not in quoted("a\nb")
