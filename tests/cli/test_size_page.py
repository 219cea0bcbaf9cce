from __future__ import annotations

from orchestrator.cli.blocks import Table, Text
from orchestrator.cli.size_page import size_page
from orchestrator.lifecycle.size import SizeWish, size_model
from tests.cli.fake_app import FACTS


def test_a_card_that_is_too_small_has_no_hours() -> None:
    *_, cards = size_page(size_model(FACTS, SizeWish(method="full")))

    assert isinstance(cards, Table)
    rows = {str(row[1]): row for row in cards.rows}
    word, _, memory, left, hours, note = rows["RTX 4090"]
    assert isinstance(word, Text) and word.text == "no"
    assert (memory, left, hours) == ("24", "-", "-") and str(note).endswith("GiB short")
    assert rows["B200"][0] == rows["B300"][0] and rows["B300"][4] == "-"
