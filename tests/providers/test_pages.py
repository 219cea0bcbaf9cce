from __future__ import annotations

import pytest

from orchestrator.errors import ProviderDown
from orchestrator.providers.pages import every_page


def test_every_page_is_asked_for_until_none_is_named() -> None:
    pages = {"": ([1, 2], "b"), "b": ([], "c"), "c": ([3], "")}

    assert every_page(pages.__getitem__, "the list") == [1, 2, 3]


def test_a_mark_that_comes_again_makes_the_list_an_error() -> None:
    pages = {"": ([1], "b"), "b": ([2], "b")}

    with pytest.raises(ProviderDown, match="the list goes round in circles"):
        every_page(pages.__getitem__, "the list")


def test_a_list_without_an_end_is_given_up() -> None:
    with pytest.raises(ProviderDown, match="the list does not end"):
        every_page(lambda mark: ([1], f"{mark}x"), "the list")


def test_a_page_that_fails_makes_the_whole_list_an_error() -> None:
    def ask(mark: str) -> tuple[list[int], str]:
        if mark:
            raise ProviderDown("no answer")
        return [1], "b"

    with pytest.raises(ProviderDown, match="no answer"):
        every_page(ask, "the list")
