from __future__ import annotations

import io

import pytest

from orchestrator.cli.blocks import (
    Bar,
    Block,
    Bullets,
    Chart,
    Facts,
    Line,
    Table,
    Text,
    Tone,
    heading,
)
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


ROW = ("provider-one", "verified", "a sentence that is longer than the line")


def test_a_table_breaks_sentences_and_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "42")

    text = printed(Table(("name", "trust", "why"), (ROW,)))

    assert text == (
        "  name          trust     why\n"
        "  provider-one  verified  a sentence that\n"
        "                          is longer than\n"
        "                          the line\n"
    )


def test_a_table_without_room_for_that_is_a_list_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "36")

    text = printed(Table(("name", "trust", "why"), (ROW, ("p2", "-", "no"))))

    assert text == (
        "  name   provider-one\n"
        "  trust  verified\n"
        "  why    a sentence that is longer\n"
        "         than the line\n"
        "\n"
        "  name   p2\n"
        "  why    no\n"
        "\n"
    )


def test_a_table_puts_its_last_columns_together_before_it_becomes_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table(("name", "trust", ">Mbit/s"), (("one", "verified", "850"), ("2", "-", "-")), 2)

    monkeypatch.setenv("COLUMNS", "30")
    assert printed(table) == (
        "  name  trust     Mbit/s\n  one   verified     850\n  2     -              -\n"
    )
    monkeypatch.setenv("COLUMNS", "23")
    assert printed(table) == ("  name  about\n  one   verified trust,\n        850 Mbit/s\n  2\n")
    monkeypatch.setenv("COLUMNS", "20")
    assert printed(table).startswith("  name   one\n  about  verified\n")


def test_phrases_are_kept_whole_where_a_line_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")

    assert printed(Text("step 140/300  loss 0.7  1m15s left")) == (
        "  step 140/300  loss 0.7\n  1m15s left\n"
    )


@pytest.mark.parametrize(("columns", "lines"), [("80", 1), ("40", 2)])
def test_words_stand_beside_a_figure_or_below_it(
    columns: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    bar = printed(Bar(3, 4, "three quarters of it"))
    line = printed(Line(((0, 2.0), (1, 1.0)), "loss 2 to 1, all over it all"))

    assert (bar.count("\n"), line.split("\n")[0][:4]) == (lines, "  █▁")
    assert "three quarters of it" in bar and "loss 2 to 1, all over it all" in line
    assert max(map(len, (bar + line).splitlines())) <= int(columns)


def test_bars_give_way_to_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    text = printed(Chart((("2027-01-03", 1.0, "$1.00"), ("2027-01-04", 2.0, "$2.00"))))

    assert "2027-01-03 █████▌      $1.00\n" in text
    assert max(map(len, text.splitlines())) <= 30


def test_where_only_ascii_can_be_shown_figures_are_made_of_it() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    print_blocks(
        stream,
        [Bar(1, 2, "half"), Line(((0, 2.0), (1, 1.0)), "loss"), Chart((("a", 1.0, "b"),))],
    )

    stream.seek(0)
    text = stream.read()
    assert "#_" in text and "####" in text and "half" in text


@pytest.mark.parametrize("color", [True, False])
def test_colours_are_left_out_where_they_are_not_wanted(
    color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()

    print_blocks(stream, [Text("gone", Tone.GOOD)], color=color)

    assert ("\x1b[32m" in stream.getvalue()) == color


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
