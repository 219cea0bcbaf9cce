from __future__ import annotations

import pytest

from orchestrator.remote.paths import checked, path_problem, shown


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "/a", "a/../b", "../x", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb",
        "\x1b[31m", "a\u202eb", "\ud800", "x" * 241, "/".join(["abcdefgh"] * 120),
    ],
)  # fmt: skip
def test_paths_that_could_mislead_are_named(path: str) -> None:
    assert path_problem(path)
    with pytest.raises(ValueError, match=r"is|has"):
        checked(path)


@pytest.mark.parametrize("path", ["a", "a/b.c", "-x", "..a", "it's; $HOME", "größe/模型.bin"])
def test_odd_but_plain_paths_pass(path: str) -> None:
    assert checked(path) == path


def test_untrusted_text_is_shown_without_its_escapes_and_short() -> None:
    assert shown("\x1b]0;title\x07") == r"'\x1b]0;title\x07'"
    assert len(shown("x" * 10_000)) < 220
