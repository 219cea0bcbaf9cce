from __future__ import annotations

from orchestrator.cli.blocks import Bullets, Facts, Table, Text, heading, section


def test_a_section_without_content_has_no_heading() -> None:
    empty = (Facts((("a", ""),)), Table(("a",), ()), Bullets(()), Text(""))

    assert section("Title", *empty) == []
    assert section("Title", *empty, Text("x"))[0] == heading("Title")
