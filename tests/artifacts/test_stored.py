from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts.stored import Part, parse_index
from orchestrator.errors import HostileArtifact


def document(**changes: object) -> bytes:
    part = {"key": "parts/00001", "offset": 0, "size_bytes": 4}
    second = {"key": "parts/00002", "offset": 3, "size_bytes": 6}
    file = {"path": "output/a", "size_bytes": 10, "sha256": "0" * 64, "parts": [part, second]}
    record = {"protocol": 1, "label": "l", "complete": True, "files": [file], "others": []}
    return json.dumps({**record, **changes}).encode()


def file(**changes: object) -> dict[str, Any]:
    part = {"key": "parts/00001", "offset": 0, "size_bytes": 4}
    return {"path": "output/a", "size_bytes": 4, "parts": [part], **changes}


def test_bytes_of_a_file_are_found_over_its_parts() -> None:
    index = parse_index(document())

    assert index.complete
    assert index.size_bytes("output/a") == 10
    assert list(index.parts("output/a", 2, 7)) == [
        Part("parts/00001", 2, 2),
        Part("parts/00002", 3, 3),
    ]
    assert list(index.parts("output/a", 10, 99)) == []
    assert list(index.parts("absent", 0, 9)) == []
    assert index.needed_bytes() == {"parts/00001": 4, "parts/00002": 9}


def test_the_newest_checkpoint_is_a_complete_one() -> None:
    names = ["step-8/state", "step-4/complete.json", "step-2/complete.json", "x/complete.json"]
    others = [file(path=f"checkpoints/{name}") for name in names]

    assert parse_index(document(others=others)).newest_checkpoint() == "checkpoints/step-4"
    assert parse_index(document()).newest_checkpoint() == ""


@pytest.mark.parametrize(("said", "at_s"), [(1.5e9, 1.5e9), ("x", 0.0), (True, 0.0), (1e300, 0.0)])
def test_a_time_that_cannot_be_is_none(said: object, at_s: float) -> None:
    assert parse_index(document(at=said)).at_s == at_s


@pytest.mark.parametrize(
    "odd",
    [
        b"no JSON",
        b"[]",
        b"[" * 100_000,
        document(protocol=2),
        document(files="x"),
        document(others=None),
        document(files=[{}]),
        document(files=[file(path="../../x")]),
        document(files=[file(path="/etc/passwd")]),
        document(files=[file(size_bytes=5)]),
        document(files=[file(size_bytes="4")]),
        document(files=[file(parts=[{"key": "../parts/00001", "offset": 0, "size_bytes": 4}])]),
        document(files=[file(parts=[{"key": "index.json", "offset": 0, "size_bytes": 4}])]),
        document(files=[file(parts=[{"key": "parts/00001", "offset": -1, "size_bytes": 4}])]),
        document(files=[file(parts=[{"key": "parts/00001", "offset": 0, "size_bytes": 1 << 63}])]),
        document(files=[file(parts=[{"key": "parts/00001", "offset": 0, "size_bytes": True}])]),
    ],
)
def test_an_index_that_cannot_be_is_refused(odd: bytes) -> None:
    with pytest.raises(HostileArtifact):
        parse_index(odd)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_value_anywhere_is_a_traceback(value: object) -> None:
    for odd in (document(files=[file(parts=value)]), document(files=value), document(label=value)):
        try:
            parse_index(odd)
        except HostileArtifact:
            continue
