from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.agent.protocol import WHY, encode
from orchestrator.lifecycle.report import (
    LONGEST_LINE_BYTES,
    fold,
    printable,
    to_exit,
    to_metrics,
    to_record,
)
from orchestrator.runs.run import Run
from tests.runs.samples import NOW_S, lease, run

names = st.sampled_from(
    ["progress", "checkpoint", "restarted", "exited", "ready", "message", "phase", "?"]
)
keys = st.sampled_from(
    ["step", "path", "metrics", "text", "phase", "state", "signal", "why", "exit_code"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def line(event: str, **fields: object) -> bytes:
    return json.dumps({"event": event, **fields}).encode() + b"\n"


def folded(*lines: bytes) -> Run:
    return fold(run(), b"".join(lines), NOW_S)[0]


@given(st.binary(max_size=400))
@example(b"\xff\xfe\n[[[[\n")
@example(b"[" * 60_000 + b"\n")
def test_no_bytes_raise(data: bytes) -> None:
    after, _ = fold(run(), data, NOW_S)

    assert 0 <= after.event_offset <= len(data)


@given(names, st.dictionaries(keys, values))
def test_no_event_raises_and_nothing_said_is_unprintable(
    name: str, fields: dict[str, object]
) -> None:
    _, said = fold(run(), line(name, **fields), NOW_S)

    for text in said:
        assert text == printable(text)


@given(st.lists(names, max_size=6), st.data())
def test_it_does_not_matter_where_the_stream_is_cut(events: list[str], data: st.DataObject) -> None:
    stream = b"".join(line(name, step=n, path=f"c{n}") for n, name in enumerate(events))
    cut = data.draw(st.integers(0, len(stream)))
    whole, said = fold(run(), stream, NOW_S)

    half, first = fold(run(), stream[:cut], NOW_S)
    joined, second = fold(half, stream[half.event_offset :], NOW_S)

    assert (joined.progress, joined.exit, joined.checkpoint) == (
        whole.progress,
        whole.exit,
        whole.checkpoint,
    )
    assert (joined.event_offset, first + second) == (len(stream), said)


def test_a_half_line_is_left_to_be_read_again() -> None:
    whole, half = line("progress", step=1), line("progress", step=2)[:-1]

    after, _ = fold(run(event_offset=100), whole + half, NOW_S)

    assert after.event_offset == 100 + len(whole)
    assert after.progress == {"step": 1}
    assert fold(after, half, NOW_S) == (after, [])


def test_a_line_that_never_ends_is_skipped() -> None:
    after, said = fold(run(), b"x" * LONGEST_LINE_BYTES, NOW_S)

    assert (after.event_offset, said) == (LONGEST_LINE_BYTES, [])


def test_a_broken_line_does_not_hide_the_next() -> None:
    assert folded(b"{half\n", line("ready")).manifest_ready


def test_whole_lines_are_a_sign_of_life_and_half_ones_are_not() -> None:
    assert folded(line("?")).heard_s == NOW_S
    assert fold(run(), b"{", NOW_S)[0].heard_s == 0


def test_the_course_of_the_loss_is_kept_and_only_numbers_get_into_it() -> None:
    after = folded(
        line("progress", step=10, loss=2.0),
        line("progress", step=20, loss="low"),
        line("progress", step=20),
        line("progress", loss=1.0),
        line("progress", step=30, loss=1.5),
    )

    assert after.losses == ((10.0, 2.0), (30.0, 1.5))


def test_the_newest_progress_replaces_and_metrics_add_up() -> None:
    after = folded(
        line("progress", step=1, loss=2.0, metrics={"f1": 0.1}, secret=7),
        line("progress", step=2, metrics={"accuracy": 0.5, "note": "text"}),
    )

    assert after.progress == {"step": 2}
    assert after.progress_metrics == {"f1": 0.1, "accuracy": 0.5}


def test_a_checkpoint_is_remembered_and_said() -> None:
    after, said = fold(run(), line("checkpoint", path="checkpoint-5", step=5), NOW_S)

    assert (after.checkpoint, said) == ("checkpoint-5", ["checkpoint at step 5"])
    assert folded(line("checkpoint", path=["x"], step=5)).checkpoint == ""


@pytest.mark.parametrize(
    ("number", "by"), [(9, "SIGKILL"), (9999, "a signal"), ("\x1b[2J", "a signal")]
)
def test_a_restart_is_noted_for_the_receipt(number: object, by: str) -> None:
    after, said = fold(run(), line("restarted", signal=number, step=40), NOW_S)

    assert said == [f"the program was killed by {by}, and went on from its checkpoint at step 40"]
    assert after.notes[-1:] == tuple(said)


def test_the_first_exit_counts() -> None:
    after = folded(line("exited", exit_code=3), line("exited", exit_code=0))

    assert after.exit["exit_code"] == 3


def test_an_exit_record_keeps_known_fields_of_their_types() -> None:
    record = to_exit(
        {
            "exit_code": True,
            "signal": 9,
            "ended_at": float("nan"),
            "why": "because",
            "message": "bye\x1b[2J",
            "disk_full": "yes",
            "out_of_memory": True,
            "extra": "dropped",
        }
    )

    assert record == {
        "signal": 9,
        "message": "bye",
        "why": "finished",
        "disk_full": False,
        "out_of_memory": True,
    }


@pytest.mark.parametrize("why", sorted(WHY))
def test_a_reason_of_the_protocol_is_kept(why: str) -> None:
    assert to_exit({"why": why})["why"] == why


def test_metrics_are_few_finite_and_short() -> None:
    metrics = to_metrics({"nan": float("nan"), "inf": float("inf"), "long": "x" * 9999, "f1": 0.5})

    assert metrics == {"long": "x" * 200, "f1": 0.5}
    assert len(to_metrics({str(n): n for n in range(1000)})) == 64
    assert to_metrics([1]) == to_metrics(None) == {}


@pytest.mark.parametrize(
    "text", [b"[1]", b"1", b"", b"{", b'"' + b"x" * LONGEST_LINE_BYTES + b'"', b"\xff{}"]
)
def test_what_is_no_object_of_sane_size_is_no_record(text: bytes) -> None:
    assert to_record(text) is None


def test_a_person_reads_no_escapes_and_no_control_characters() -> None:
    _, said = fold(run(), line("message", text="ok\x1b]0;title\x07\u202e\nnext"), NOW_S)

    assert said == ["ok\nnext"]


def test_a_machine_that_talks_without_end_fills_no_store() -> None:
    lines = b"".join(encode({"event": "message", "text": f"line {n}"}) for n in range(5000))

    after, said = fold(run(), lines, NOW_S)
    again, more = fold(after, lines, NOW_S)

    assert len(said) == 2001 and said[-1] == "the machine says more than is kept here"
    assert more == []
    assert again.event_offset == 2 * len(lines)


def test_a_machine_that_measures_without_end_keeps_the_newest_names() -> None:
    lines = b"".join(
        encode({"event": "progress", "step": n, "metrics": {f"m{n}": n}}) for n in range(500)
    )

    after, _ = fold(run(), lines, NOW_S)

    assert len(after.progress_metrics) == 64
    assert "m499" in after.progress_metrics


@pytest.mark.parametrize("said", [None, "much", True, -5, float("1e300"), [1]])
def test_an_absurd_count_of_bytes_changes_nothing_or_little(said: object) -> None:
    made = run(leases=(lease(),))

    (told,) = fold(made, line("host", received_bytes=said, sent_bytes=said), NOW_S)[0].leases

    assert 0 <= told.traffic.received_bytes <= 10**16


def test_bytes_are_counted_on_the_lease_in_use() -> None:
    made = run(leases=(lease("old"), lease("new", sent_s=NOW_S)))

    told = fold(made, line("host", received_bytes=7, sent_bytes=3), NOW_S + 60)[0]

    assert [one.traffic.received_bytes for one in told.leases] == [0, 7]
