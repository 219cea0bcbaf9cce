"""Untrusted text made safe for a terminal. Pure."""

from __future__ import annotations

import re

LINE_LIMIT = 4000

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC: titles, clipboard, links
    r"|\x1b[ -/]*[0-~]"  # two or three characters
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one C1 byte
    r"|[\x90\x98\x9d\x9e\x9f].*?(?:\x07|\x1b\\|\x9c|$)",
    re.DOTALL,
)
_RETURNS = re.compile(r"[\r\n]")  # a stored log has a newline in a return's place
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)


def clean(text: str) -> str:
    r"""Text without terminal sequences, control characters and direction marks; lines stay.

    >>> clean("\x1b]0;owned\x07loss \x1b[31m0.5\x1b[0m")
    'loss 0.5'
    """
    if text.isprintable():  # nearly all text: there is nothing in it to look for
        return text
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def clean_line(line: str, limit: int = LINE_LIMIT) -> str:
    r"""One line as a terminal would leave it: the last of what returns overwrote, cut at `limit`.

    >>> clean_line("10%\r20%\r100%\n")
    '100%'
    """
    shown = [part for part in _RETURNS.split(line) if part]
    text = clean(shown[-1] if shown else "")
    if len(text) > limit:
        return f"{text[:limit]} ... ({len(text) - limit} more characters)"
    return text
