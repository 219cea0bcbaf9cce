from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts.manifest import (
    DOCUMENT_LIMIT_BYTES,
    FILES_LIMIT,
    parse_checkpoint,
    parse_manifest,
)
from orchestrator.errors import HostileArtifact
from orchestrator.remote.paths import path_problem
from tests.artifacts.conftest import record_of

SHA = "a" * 64
LIMIT = 10**12


def document(*records: object) -> bytes:
    return json.dumps({"protocol": 1, "files": records}).encode()


def test_files_come_in_the_order_of_their_pull() -> None:
    kinds = ("rest", "checkpoint", "model", "unheard-of", "logs", "metrics", "exit")
    records = [record_of(f"{kind}.x", b"", kind) for kind in kinds]

    manifest = parse_manifest(document(*records), limit_bytes=LIMIT)

    assert [file.kind for file in manifest.files] == [
        "exit", "metrics", "logs", "model", "checkpoint", "rest", "rest",
    ]  # fmt: skip


def test_output_is_stripped_at_home_and_all_else_keeps_its_path() -> None:
    paths = ["output/model/a.bin", "log.txt", "checkpoints/step-1/x", "outputs/y", "output/z"]
    manifest = parse_manifest(document(*(record_of(p, b"") for p in paths)), limit_bytes=LIMIT)

    assert {file.path: file.home_path for file in manifest.files} == {
        "output/model/a.bin": "model/a.bin", "log.txt": "log.txt", "output/z": "z",
        "checkpoints/step-1/x": "checkpoints/step-1/x", "outputs/y": "outputs/y",
    }  # fmt: skip


def test_an_output_file_with_the_name_of_ours_keeps_its_folder() -> None:
    paths = ["metrics.json", "output/metrics.json", "checkpoints/a", "output/checkpoints/a"]
    manifest = parse_manifest(document(*(record_of(p, b"") for p in paths)), limit_bytes=LIMIT)

    assert [file.home_path for file in manifest.files] == paths
    assert manifest.refused == ()


@pytest.mark.parametrize(
    "path",
    [
        "../../x", "/etc/passwd", "output/../../x", "a\\b", "a\0b", "a\nb", "\x1b]0;x\x07", "",
        ".", "a//b", "a/", "x" * 300, "/".join("a" * 600), "output/",
    ],
)  # fmt: skip
def test_a_path_that_no_machine_has_business_to_send_is_refused_and_the_rest_kept(
    path: str,
) -> None:
    manifest = parse_manifest(
        document(record_of(path, b""), record_of("exit.json", b"", "exit")), limit_bytes=LIMIT
    )

    assert [file.path for file in manifest.files] == ["exit.json"]
    assert len(manifest.refused) == 1
    assert manifest.refused[0].isprintable()


@pytest.mark.parametrize(
    "broken",
    [
        {"size_bytes": -1}, {"size_bytes": 1.5}, {"size_bytes": True}, {"size_bytes": "1"},
        {"size_bytes": None}, {"sha256": "A" * 64}, {"sha256": "a" * 63}, {"sha256": 7},
        {"path": None}, {"path": ["a"]}, {"size_bytes": LIMIT + 1},
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(broken: dict[str, object]) -> None:
    record = {**record_of("a", b""), **broken}
    manifest = parse_manifest(document(record, 7, None, "text"), limit_bytes=LIMIT)

    assert manifest.files == ()
    assert len(manifest.refused) == 4


def test_what_does_not_fit_the_limit_is_refused_last_in_order_first() -> None:
    records = [
        {"path": path, "size_bytes": 60, "sha256": SHA, "kind": kind}
        for path, kind in [("rest", "rest"), ("exit", "exit")]
    ]
    manifest = parse_manifest(document(*records), limit_bytes=100)

    assert [file.path for file in manifest.files] == ["exit"]
    assert "too large" in manifest.refused[0]


@pytest.mark.parametrize(
    "paths",
    [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["output/output/x", "output/x", "x"]],
)
def test_files_in_each_others_way_are_refused_but_one(paths: list[str]) -> None:
    manifest = parse_manifest(document(*(record_of(p, b"") for p in paths)), limit_bytes=LIMIT)
    homes = [file.home_path for file in manifest.files]

    assert len(set(homes)) == len(homes)
    assert len(manifest.files) + len(manifest.refused) == len(paths)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"no json", b"[]", b"7", b"{}", b'{"files": {}}', b'{"files": ' + b"[" * 100_000,
        b'{"files": [{"path": "a", "size_bytes": ' + b"9" * 5000 + b"}]}", b"\xff\xfe",
        b" " * (DOCUMENT_LIMIT_BYTES + 1),
    ],
)  # fmt: skip
def test_a_document_that_is_no_manifest_is_refused_whole(text: bytes) -> None:
    with pytest.raises(HostileArtifact):
        parse_manifest(text, limit_bytes=LIMIT)


def test_of_too_many_files_the_first_in_order_of_pull_are_kept_and_the_rest_is_named() -> None:
    rest = (record_of(f"output/i{number}", b"") for number in range(FILES_LIMIT))
    first = [record_of("exit.json", b"", "exit"), record_of("output/model/w", b"", "model")]

    manifest = parse_manifest(document(*rest, *first), limit_bytes=LIMIT)

    assert len(manifest.files) == FILES_LIMIT
    assert [file.home_path for file in manifest.files[:3]] == ["exit.json", "model/w", "i0"]
    assert manifest.refused == ()
    ((kind, why),) = manifest.left
    assert kind == "rest"
    assert why.startswith("2 files, 'output/i99998' first, are left: 100000 are the most")


def test_what_the_machine_itself_left_is_named_too() -> None:
    left: list[object] = [
        {"kind": "rest", "files": 7, "first": "output/\x1b[2J"},
        3,
        {"kind": "rest"},
        {"kind": [], "files": 1, "first": ""},
        {"kind": "logs", "files": -1, "first": "a"},
    ]
    text = json.dumps({"files": [record_of("exit.json", b"", "exit")], "left": left})

    ((kind, why),) = parse_manifest(text.encode(), limit_bytes=LIMIT).left

    assert kind == "rest" and why.isprintable()
    assert why.startswith("7 files, ")


def test_a_checkpoint_of_too_many_files_is_refused_whole() -> None:
    text = b'{"step": 1, "files": [' + b"1," * FILES_LIMIT + b"1]}"

    with pytest.raises(HostileArtifact, match="more than 100000 files"):
        parse_checkpoint(text, "checkpoints/step-1", limit_bytes=LIMIT)


def test_refusals_are_named_only_so_often() -> None:
    manifest = parse_manifest(document(*[{"path": "../x"}] * 1000), limit_bytes=LIMIT)

    assert len(manifest.refused) == 51
    assert manifest.refused[-1] == "and 950 more files are refused"


def test_deep_paths_cannot_fill_the_memory() -> None:
    deep = ["/".join([f"{n:04}", *"a" * 500]) for n in range(400)]
    folders = ["/".join([f"{n:05}", *"a" * 60, "x"]) for n in range(4000)]
    text = document(*(record_of(path, b"") for path in (*deep, *folders, "output/model/w")))
    tracemalloc.start()
    try:
        manifest = parse_manifest(text, limit_bytes=LIMIT)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 64 * 2**20
    assert "too deep" in manifest.refused[0]
    assert 1000 < len(manifest.files) < 4000


RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.one_of(
            st.none(),
            st.text(max_size=30),
            st.lists(st.sampled_from(["a", "b", "..", ".", "", "output", "\x1b", "x\\"]))
            .map("/".join),
        ),
        "size_bytes": st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3)),
        "sha256": st.one_of(st.just(SHA), st.text(max_size=70)),
        "kind": st.one_of(st.sampled_from(["exit", "rest"]), st.integers(), st.none()),
    },
)  # fmt: skip


@given(st.lists(st.one_of(RECORDS, st.integers(), st.text(max_size=3)), max_size=12))
def test_whatever_is_kept_is_safe_to_write(records: list[object]) -> None:
    manifest = parse_manifest(document(*records), limit_bytes=1000)
    homes = [file.home_path for file in manifest.files]

    assert len(manifest.files) + len(manifest.refused) == len(records)
    assert all(path_problem(path) is None for path in homes)
    assert manifest.size_bytes <= 1000
    taken = set(homes)
    assert len(taken) == len(homes)
    for home in homes:
        assert not any(f"{home}/" == other[: len(home) + 1] for other in taken)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_a_manifest_or_refused(value: object) -> None:
    with contextlib.suppress(HostileArtifact):
        parse_manifest(json.dumps(value).encode(), limit_bytes=LIMIT)


def test_a_checkpoint_lists_its_files_below_its_folder() -> None:
    text = json.dumps({"step": 40, "files": [record_of("model/a", b"1"), record_of("b", b"")]})
    manifest = parse_checkpoint(text.encode(), "checkpoints/step-40", limit_bytes=LIMIT)

    assert manifest.step == 40
    assert [(file.path, file.home_path) for file in manifest.files] == [
        ("checkpoints/step-40/model/a", "model/a"),
        ("checkpoints/step-40/b", "b"),
    ]


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("checkpoints/../x", {"step": 1, "files": []}),
        ("output/step-1", {"step": 1, "files": []}),
        ("checkpoints/step-1", {"step": -1, "files": []}),
        ("checkpoints/step-1", {"step": True, "files": []}),
        ("checkpoints/step-1", {"files": []}),
        ("checkpoints/step-1", {"step": 1}),
        ("checkpoints/step-1", {"step": 1, "files": [{"path": "../x"}]}),
        (
            "checkpoints/step-1",
            {"step": 1, "files": [{"path": "", "size_bytes": 0, "sha256": SHA}]},
        ),
        ("checkpoints/step-1", {"step": 1, "files": [{"path": "a"}]}),
    ],
)
def test_a_checkpoint_with_one_odd_file_is_refused_whole(path: str, record: object) -> None:
    with pytest.raises(HostileArtifact):
        parse_checkpoint(json.dumps(record).encode(), path, limit_bytes=LIMIT)
