from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.spec.section import Choice, Section, keys_of


class Shelf(Section):
    books: int = 3
    colour: str = "red"


def test_a_key_with_nothing_after_it_counts_as_not_written() -> None:
    assert Shelf.model_validate({"books": None, "colour": "blue"}) == Shelf(colour="blue")


def test_an_unknown_key_is_refused_even_when_empty() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Shelf.model_validate({"boks": None})


def test_types_are_never_guessed() -> None:
    with pytest.raises(ValidationError, match="int_type"):
        Shelf.model_validate({"books": "3"})


def test_a_section_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Shelf().books = 4


def test_keys_lead_to_attributes() -> None:
    assert keys_of(Shelf) == {"books": "books", "colour": "colour"}


def test_a_choice_tells_later_from_unknown() -> None:
    choice = Choice(("red", "blue"), later=("green",))

    assert choice.check("red") == "red"
    with pytest.raises(Exception, match="`green` is not yet supported in this version; supported"):
        choice.check("green")
    with pytest.raises(Exception, match="did you mean `blue`"):
        choice.check("bleu")
