from __future__ import annotations

import io

import pytest

from orchestrator.cli.blocks import Bar, Block, Bullets, Facts, Table, Text, Tone, heading
from orchestrator.cli.render import LiveBlocks, print_blocks


def printed(*blocks: Block) -> str:
    stream = io.StringIO()
    print_blocks(stream, blocks)
    return stream.getvalue()


@pytest.mark.usefixtures("home")
def test_markup_and_escapes_of_others_are_never_obeyed() -> None:
    text = printed(
        Facts((("[red]a[/red]", "\x1b[31mb"),)),
        Table(("[b]x[/b]",), (("\x1b]0;t\x07y",),)),
        Bullets(("[link=http://x]z[/link] :smile:",)),
    )

    assert "[red]a[/red]  b" in text
    assert "[b]x[/b]" in text and "\n  y\n" in text
    assert "[link=http://x]z[/link] :smile:" in text
    assert "\x1b" not in text


@pytest.mark.usefixtures("home")
def test_no_line_ends_in_spaces_and_headings_stand_apart() -> None:
    text = printed(heading("A"), Facts((("k", "v"), ("empty", ""))), heading("B"), Text("t"))

    assert text == "A\n  k  v\n\nB\n  t\n"


@pytest.mark.parametrize(("columns", "broken"), [("40", False), ("18", True)])
def test_a_table_breaks_sentences_and_words_only_where_there_is_no_room(
    columns: str, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    row = ("provider-one", "verified", "a sentence that is longer than the line")

    text = printed(Table(("name", "trust", "why"), (row,)))

    assert ("provider-one" not in text) == broken
    assert ("verified" not in text) == broken
    assert "longer" in text or broken
    assert max(map(len, text.splitlines())) <= int(columns)


@pytest.mark.usefixtures("home")
def test_an_unbroken_line_is_wider_than_the_page() -> None:
    path = "/very/long" * 30

    assert printed(Text(path, Tone.BAD, unbroken=True)) == path + "\n"


def test_a_pipe_is_wider_than_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert printed(Text("x " * 55)).count("\n") == 1


@pytest.mark.usefixtures("home")
def test_live_lines_are_cleaned_and_kept_above() -> None:
    stream = io.StringIO()

    with LiveBlocks(stream) as live:
        live.show([Bar(1, 0, "no steps"), Text("below")])
        live.line("\x1b[2Jlog [bold]x[/bold]\n")

    assert "log [bold]x[/bold]\n" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
