from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from orchestrator.spec.rows import BadFile, BadRow, DataFile


def read(path: Path, content: bytes | str) -> list[tuple[int, object]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = list(DataFile(path).rows())
    return [(line, row.text if isinstance(row, BadRow) else row) for line, row in found]


def test_rows_of_jsonl_have_their_lines_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}'

    assert read(tmp_path / "x.jsonl", content) == [(1, {"a": 1}), (3, {"a": 2})]


def test_rows_of_csv_may_span_lines(tmp_path: Path) -> None:
    content = '\ufefftext,label\r\n"two\r\nlines, one cell",a\r\n\r\nplain,b\r\n'

    assert read(tmp_path / "x.csv", content) == [
        (2, {"text": "two\r\nlines, one cell", "label": "a"}),
        (5, {"text": "plain", "label": "b"}),
    ]


def test_rows_of_tsv_are_split_at_tabs(tmp_path: Path) -> None:
    assert read(tmp_path / "x.tsv", "a\tb\n1,5\t2\n") == [(2, {"a": "1,5", "b": "2"})]


def test_rows_of_one_json_list_have_their_lines(tmp_path: Path) -> None:
    content = '[\n  {"a": 1},\n  {"a":\n    2},\n  3\n]\n'

    assert read(tmp_path / "x.json", content) == [
        (2, {"a": 1}),
        (3, {"a": 2}),
        (5, "a row must be an object, {…}"),
    ]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ('{"a": 1}', 1, "must be a list of rows"),
        ('[{"a": 1}\n {"a": 2}]', 2, "expected , or ] after a row"),
        ('[{"a": 1},\n]', 2, "expected a row after the comma"),
        ('[{"a": 1}', 1, "expected , or ]"),
        ('[]\n{"a": 1}', 2, "text after the end of the list"),
        ("[" * 200_000, 1, "JSON that nobody should nest"),
        (b'[{"a":\n "\xff"}]', 2, "not UTF-8 text"),
    ],
)
def test_a_broken_json_list_ends_with_its_line(
    tmp_path: Path, content: bytes | str, line: int, problem: str
) -> None:
    at, text = read(tmp_path / "x.json", content)[-1]

    assert at == line
    assert problem in str(text)


def test_an_empty_json_file_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "x.json", " \n") == []
    assert read(tmp_path / "x.json", "[ ]") == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "not valid JSON: Expecting ',' delimiter (column 8)"),
        (b"[1]", "a row must be an object"),
        (b"\xff", "not UTF-8 text (byte 1)"),
        (b"[" * 200_000, "JSON that nobody should nest"),
        (b'{"a": ' + b"1" * 5000 + b"}", "JSON that nobody should nest or count"),
    ],
)
def test_a_bad_line_of_jsonl_does_not_hide_the_next(
    tmp_path: Path, line: bytes, problem: str
) -> None:
    found = read(tmp_path / "x.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 3}\n')

    assert [at for at, _ in found] == [1, 2, 3]
    assert problem in str(found[1][1])


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("a,b\n1,2\n3\n", 3, "1 cells where the header has 2"),
        ("a,a\n1,2\n", 1, "column `a` is in the header twice"),
        ('a,b\n1,"2\n', 2, "not valid CSV"),
        ('a,b\n1,"2"x\n', 2, "not valid CSV"),
        (b"a,b\n1,\xe4\n", 2, "not UTF-8 text"),
        (b"\xff\xfea\x00", 1, "UTF-16 text: save it as UTF-8"),
    ],
)
def test_a_broken_csv_names_its_line(
    tmp_path: Path, content: bytes | str, line: int, problem: str
) -> None:
    at, text = read(tmp_path / "x.csv", content)[-1]

    assert at == line
    assert problem in str(text)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"x" * 5000)

    ((line, bad),) = DataFile(path, max_line_bytes=1000).rows()

    assert line == 1
    assert isinstance(bad, BadFile)


def test_size_and_hash_are_those_of_the_file(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}'
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    read_as_rows, read_through = DataFile(path), DataFile(path)

    list(read_as_rows.rows())
    read_through.read_through()

    for file in (read_as_rows, read_through):
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.size_bytes == len(content)
    assert read_as_rows.has_byte_order_mark
