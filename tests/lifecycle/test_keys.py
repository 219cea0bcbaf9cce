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


def test_the_only_key_is_tried_again_since_a_refusal_may_be_a_mistake() -> None:
    keys = Keys(lambda _: None)
    keys.take({NAME: "same"})
    keys.take({NAME: "same"})

    keys.refused(NAME)

    assert keys.get(NAME) == "same"


def test_every_key_has_its_turn_and_none_is_forgotten() -> None:
    kept = {NAME: "kept"}
    keys = Keys(kept.get)
    keys.take({NAME: "first"})
    keys.take({NAME: "second"})

    tried = []
    for _ in range(4):
        tried.append(keys.get(NAME))
        keys.refused(NAME)

    assert tried == ["first", "second", "kept", "first"]


def test_a_key_that_was_corrected_meanwhile_is_read_anew() -> None:
    kept = {NAME: "of yesterday"}
    keys = Keys(kept.get)
    keys.refused(NAME)
    assert keys.get(NAME) == "of yesterday"

    kept[NAME] = "of today"
    keys.refused(NAME)

    assert keys.get(NAME) == "of today"


def test_nobody_gave_a_key() -> None:
    keys = Keys(lambda _: None)

    keys.refused(NAME)

    assert keys.get(NAME) is None
