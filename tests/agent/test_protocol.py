from __future__ import annotations

import json

from orchestrator.agent import protocol
from orchestrator.artifacts.manifest import parse_checkpoint, parse_manifest
from orchestrator.artifacts.stored import parse_index
from orchestrator.lifecycle.report import fold
from tests.conventions.source import PROJECT
from tests.runs.samples import run

GOLDEN = PROJECT / "tests" / "golden" / "agent"


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    line = protocol.encode({"text": "two\nlines and \u2028", "a": 1})

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {"text": "two\nlines and \u2028", "a": 1}


def test_every_file_that_has_a_name_here_is_in_the_list_above() -> None:
    assert protocol.__doc__ is not None
    names = [
        value
        for name, value in vars(protocol).items()
        if name.endswith(("_FILE", "_DIR", "_SCRIPT")) and isinstance(value, str)
    ]

    assert [name for name in names if name not in protocol.__doc__] == []


def test_what_an_agent_of_the_oldest_protocol_says_is_read_to_the_last_word() -> None:
    folder = GOLDEN / f"protocol-{protocol.OLDEST}"
    events = (folder / protocol.EVENTS_FILE).read_bytes()

    heard, said = fold(run(), events, 10.0)

    assert heard.event_offset == len(events)
    assert heard.progress["step"] == 4 and heard.progress_metrics == {"eval_loss": 0.4}
    assert heard.checkpoint == "checkpoints/step-4"
    assert (heard.exit["exit_code"], heard.exit["why"]) == (0, "finished")
    assert heard.manifest_ready and heard.upload == "complete"
    assert "hello" in said
    manifest = parse_manifest((folder / protocol.MANIFEST_FILE).read_bytes(), limit_bytes=100)
    assert [file.home_path for file in manifest.files] == ["exit.json", "model/weights"]
    checkpoint = (folder / protocol.CHECKPOINT_COMPLETE).read_bytes()
    assert parse_checkpoint(checkpoint, "checkpoints/step-4", limit_bytes=100).step == 4
    index = parse_index((folder / protocol.INDEX_FILE).read_bytes())
    assert index.complete and set(index.files) == {"exit.json", "log.txt"}


def test_what_a_newer_agent_adds_is_passed_over() -> None:
    folder = GOLDEN / f"protocol-{protocol.OLDEST}"
    events = protocol.encode({"at": 0, "event": "dreamt", "of": "sheep"})
    for line in (folder / protocol.EVENTS_FILE).read_bytes().splitlines():
        events += protocol.encode({**json.loads(line), "mood": {"new": True}})

    heard, _ = fold(run(), events, 10.0)

    assert heard.event_offset == len(events)
    assert heard.manifest_ready and heard.exit["exit_code"] == 0
