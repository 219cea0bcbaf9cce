from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from orchestrator.errors import SpecError
from orchestrator.spec.tokens import token_lengths


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    """A tokenizer of words, which would cut and pad if it were let."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(max_length=2)
    tokenizer.enable_padding(length=8)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_texts_are_counted_whole_and_the_cut_ones_told(tokenizer_json: Path) -> None:
    report = token_lengths(tokenizer_json, [("a", 0), ("a a a", 0), ("a " * 10, 0)], max_length=3)

    assert (report.rows, report.longest, report.total, report.cut_rows) == (3, 10, 14, 1)
    assert report.cut_share == pytest.approx(1 / 3)


def test_more_than_one_batch_is_counted(tokenizer_json: Path) -> None:
    assert (
        token_lengths(tokenizer_json, (("a", 0) for _ in range(1300)), max_length=9).total == 1300
    )


def test_what_stands_beside_a_text_counts_too(tokenizer_json: Path) -> None:
    report = token_lengths(tokenizer_json, [("a a", 6), ("", 2)], max_length=7)
    assert (report.longest, report.total, report.cut_rows) == (8, 10, 1)


def test_no_text_has_no_share(tokenizer_json: Path) -> None:
    report = token_lengths(tokenizer_json, [], max_length=9)

    assert (report.cut_share, report.mean) == (0.0, 0.0)


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)

    with pytest.raises(SpecError, match="not a tokenizer"):
        token_lengths(path, [("a", 0)], max_length=9)
