"""How long texts are in tokens of the model that will read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orchestrator.errors import SpecError

_BATCH = 512


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Lengths in tokens, special tokens included."""

    rows: int
    longest: int
    total: int
    cut_rows: int  # longer than `max_length`: their ends are not seen
    max_length: int

    @property
    def cut_share(self) -> float:
        return self.cut_rows / self.rows if self.rows else 0.0

    @property
    def mean(self) -> float:
        return self.total / self.rows if self.rows else 0.0


def token_lengths(
    tokenizer_json: Path, rows: Iterable[tuple[str, int]], *, max_length: int
) -> TokenReport:
    """Count the tokens of every row by the model's own `tokenizer.json`.

    Args:
        rows: the text of each, and how many tokens stand beside it that are not in the text.

    Raises: SpecError when the file is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:  # the library raises nothing narrower
        raise SpecError([f"{tokenizer_json}: not a tokenizer: {error}"]) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counted = longest = total = cut_rows = 0
    for batch in _batches(rows):
        encodings = tokenizer.encode_batch_fast([text for text, _ in batch])
        for encoding, (_, beside) in zip(encodings, batch, strict=True):
            length = len(encoding) + beside
            counted += 1
            total += length
            longest = max(longest, length)
            cut_rows += length > max_length
    return TokenReport(counted, longest, total, cut_rows, max_length)


def _batches(rows: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        yield batch
