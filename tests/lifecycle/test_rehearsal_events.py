from __future__ import annotations

import json

from orchestrator.lifecycle.rehearsal_events import Heard

SENTENCES = {"setup": "installing", "download": "downloading", "program": "training"}
MADE = {"setup": "made from lock", "download": "org/model"}


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"at": 1, "event": event, **fields}).encode() + b"\n"


def phase(name: str, state: str) -> bytes:
    return line("phase", phase=name, state=state)


def exited(why: str = "finished", phase: str = "program", **fields: object) -> bytes:
    return line("exited", why=why, phase=phase, **fields) + line("ready", manifest=True)


def heard(sentences: dict[str, str] = SENTENCES) -> tuple[Heard, list[str]]:
    told: list[str] = []
    return Heard(sentences, told.append), told


READY = b"".join(
    phase(name, state) for name in ("setup", "download") for state in ("started", "ended")
)


def test_each_phase_is_told_when_it_begins_and_found_with_its_seconds() -> None:
    ears, told = heard()

    assert ears.take(phase("setup", "started"), 10) and ears.take(phase("download", "started"), 10)
    assert not ears.is_over and not ears.began_program
    ears.take(phase("download", "ended"), 13)
    ears.take(phase("setup", "ended") + phase("program", "started"), 25)
    ears.take(phase("program", "ended") + exited(exit_code=0), 30)

    assert ears.is_over and told == ["installing", "downloading", "training"]
    assert ears.findings("log", MADE) == [
        ("environment", True, "made from lock, 15 s", ""),
        ("model", True, "org/model, 3 s", ""),
        ("first batch", True, "", ""),
    ]


def test_what_is_kept_from_before_is_not_told_and_said_to_be_so() -> None:
    ears, told = heard({"program": "training"})

    ears.take(READY + phase("program", "started") + exited(exit_code=0), 5)

    assert told == ["training"]
    assert [found for _, _, found, _ in ears.findings("log", MADE)[:2]] == [
        "made from lock, by an earlier check",
        "org/model, by an earlier check",
    ]


def test_a_phase_that_takes_long_is_told_to_live() -> None:
    ears, told = heard()

    ears.take(phase("setup", "started"), 0)
    for now_s in (19, 21, 39, 42):
        ears.take(b"", now_s)

    still = "environment: still at it after"
    assert told == ["installing", f"{still} 21 s", f"{still} 42 s"]


def test_the_programs_last_words_are_the_finding() -> None:
    ears, _ = heard()

    ears.take(READY + phase("program", "started"), 1)
    ears.take(exited(exit_code=1, message="ValueError: \x1b[31mno\x1b[0m", out_of_memory=True), 2)

    words = "out of memory: ValueError: no"
    assert ears.findings("see log", MADE)[-1] == ("first batch", False, words, "see log")


def test_a_failure_of_a_half_is_told_of_that_half_alone() -> None:
    ears, _ = heard()

    ears.take(READY + exited("setup", "download", message="404 for org/model"), 1)

    assert ears.findings("log", MADE) == [("model", False, "404 for org/model", "log")]


def test_giving_up_names_the_phase_that_was_open() -> None:
    ears, _ = heard()
    ears.take(phase("setup", "started"), 1)

    ears.give_up("not done after 30 minutes")

    assert ears.findings("log", MADE) == [
        ("environment", False, "not done after 30 minutes", "log")
    ]


def test_half_a_line_waits_and_nonsense_is_skipped() -> None:
    ears, told = heard()
    first = phase("setup", "started")

    assert not ears.take(first[:20], 1)
    assert ears.offset == 0
    assert ears.take(b"[1]\nnot json\n" + line("phase", phase=["x"]) + first, 1)
    assert told == ["installing"] and ears.offset > len(first)
