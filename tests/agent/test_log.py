from __future__ import annotations

from pathlib import Path

from orchestrator.agent.log import Log, last_words


def test_beyond_its_limit_a_log_says_once_that_it_is_cut(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt", 10)

    for _ in range(3):
        log.write(b"abcdef")
    log.close()

    assert (tmp_path / "log.txt").read_bytes() == (
        b"abcdefabcd\n[gpulease: the log has 10 bytes; the rest is dropped]\n"
    )
    assert log.is_cut


def test_the_tail_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt", 1)

    log.write(b"first\n")
    log.close()
    log.write(
        b"\x1b]0;owned\x07\x1b[31mlast\x1b[0m\r\x07 words\n\x1b]8;;http://127.0.0.1/\x1b\\ok\n"
    )

    assert log.tail() == "first\nlast words\nok\n"


def test_last_words_are_one_paragraph() -> None:
    assert last_words("a\n\n  b  \n\n", lines=2) == "a b"
    assert last_words("") == ""
    assert len(last_words("x" * 5000)) == 600
