"""The word that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_SHOWN = 60


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of `words`, or None when none is near.

    >>> nearest("learning_rat", ["max_length", "learning_rate"])
    'learning_rate'
    >>> nearest("zebra", ["max_length", "learning_rate"]) is None
    True
    """
    by_folded = {candidate.casefold(): candidate for candidate in words}
    found = get_close_matches(word.casefold()[:_LONGEST_SHOWN], by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """`; did you mean X?`, or the empty text when nothing is near.

    >>> did_you_mean("lable", ["label", "text"])
    '; did you mean `label`?'
    """
    found = nearest(word, words)
    return f"; did you mean {quoted(found)}?" if found else ""


def quoted(text: str) -> str:
    r"""A user's word for a message: one line, short, nothing that a terminal obeys.

    >>> print(quoted("a\x1b[31mb"))
    `a\x1b[31mb`
    """
    return f"`{printable(text[:_LONGEST_SHOWN])}{'…' if len(text) > _LONGEST_SHOWN else ''}`"


def printable(text: str) -> str:
    """The text with whatever a terminal would obey written as an escape."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
