from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.clean import clean, clean_line


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]52;c;ZXZpbA==\x07clip", "clip"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x9b31mred", "red"),
        ("\x1b(0lines", "lines"),
        ("\x1bcreset", "reset"),
        ("bell\x07\x08\x00", "bell"),
        ("right\u202eleft", "rightleft"),
        ("an unfinished \x1b]0;title", "an unfinished "),
        ("two\nlines\tstay", "two\nlines\tstay"),
        ("a lone \x1b", "a lone "),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@given(st.text(alphabet=st.characters(max_codepoint=0x300)))
def test_no_control_character_survives(text: str) -> None:
    assert all(c in "\n\t" or c.isprintable() or c in "\xa0\xad" for c in clean(text))


def test_all_that_can_be_printed_is_left_as_it_is() -> None:
    text = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isprintable())

    assert clean("\x00" + text) == text


def test_a_bar_that_overwrites_itself_is_shown_once() -> None:
    assert clean_line("10%\r50%\r100%\r\n") == "100%"
    assert clean_line("10%\n50%\n100%\n") == "100%"


def test_a_line_of_any_length_is_cut() -> None:
    assert clean_line("x" * 1_000_000, limit=10) == "xxxxxxxxxx ... (999990 more characters)"
