from __future__ import annotations

from orchestrator.lifecycle.keys import Keys

NAME = "RUNPOD_API_KEY"


def test_a_key_that_works_is_not_replaced() -> None:
    keys = Keys(lambda _: None)
    keys.take({NAME: "first"})

    keys.take({NAME: "second"})

    assert keys.get(NAME) == "first"


def test_a_refused_key_makes_way_for_the_second_one() -> None:
    keys = Keys(lambda _: None)
    keys.take({NAME: "first"})
    keys.take({NAME: "second"})

    keys.refused(NAME)

    assert keys.get(NAME) == "second"


def test_without_a_second_key_a_refusal_leads_back_to_what_is_kept() -> None:
    keys = Keys({NAME: "kept"}.get)
    keys.take({NAME: "handed"})
    assert keys.get(NAME) == "handed"

    keys.refused(NAME)

    assert keys.get(NAME) == "kept"


def test_the_same_key_handed_over_twice_is_one_key() -> None:
    keys = Keys(lambda _: None)
    keys.take({NAME: "same"})
    keys.take({NAME: "same"})

    keys.refused(NAME)

    assert keys.get(NAME) is None


def test_nobody_gave_a_key() -> None:
    assert Keys(lambda _: None).get(NAME) is None
