"""The label that a machine carries: who rented it, for which run, and until when. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LABEL = re.compile(
    r"gl1-(?P<home>[a-z0-9]{6})-(?P<run>[a-z0-9]{8})-(?P<n>[a-z0-9]{2})"
    r"-(?P<created>[a-z0-9]{6})-(?P<deadline>[a-z0-9]{6})"
)


@dataclass(frozen=True, slots=True)
class Label:
    """The facts in a label; times are whole epoch seconds."""

    home: str
    run: str
    n: int
    created_s: int
    deadline_s: int

    def __str__(self) -> str:
        parts = (
            self.home,
            self.run,
            _to_base36(self.n, 2),
            _to_base36(self.created_s, 6),
            _to_base36(self.deadline_s, 6),
        )
        return "gl1-" + "-".join(parts)


def parse_label(text: str | None) -> Label | None:
    """The facts in `text`, or None when it is no label of ours.

    >>> parse_label(str(Label("homeid", "runid123", 1, 1800000000, 1800003600))).n
    1
    >>> parse_label("somebody-elses-pod") is None
    True
    """
    match = _LABEL.fullmatch(text or "")
    if match is None:
        return None
    return Label(
        match["home"],
        match["run"],
        int(match["n"], 36),
        int(match["created"], 36),
        int(match["deadline"], 36),
    )


def _to_base36(number: int, width: int) -> str:
    if number < 0:
        raise ValueError(f"{number} is negative")
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    if len(digits) > width:
        raise ValueError(f"{digits} is longer than {width} base36 digits")
    return digits.rjust(width, "0")
