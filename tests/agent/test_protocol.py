from __future__ import annotations

import json

from orchestrator.agent import protocol


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
