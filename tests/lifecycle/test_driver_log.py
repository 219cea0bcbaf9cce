from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from orchestrator.lifecycle.driver_log import LOG_FILE, DriverLog, open_log

SPEAKS_BESIDE_IT = """
import logging, os, sys
from pathlib import Path
from orchestrator.lifecycle.driver_log import DriverLog
log = DriverLog(Path(sys.argv[1]), longest_bytes=300, kept=2)
for number in range(20):
    log.emit(logging.makeLogRecord({"msg": f"line {number:02d} " + "x" * 40}))
    os.write(2, f"beside {number:02d}\\n".encode())
"""


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text})


def test_the_log_is_limited_in_size_and_private(tmp_path: Path) -> None:
    log = DriverLog(tmp_path / LOG_FILE, longest_bytes=1000, kept=2)
    for number in range(400):
        log.emit(record(f"line {number}"))
    log.close()

    files = sorted(tmp_path.iterdir())

    assert [path.name for path in files] == [LOG_FILE, f"{LOG_FILE}.1", f"{LOG_FILE}.2"]
    assert all(path.stat().st_size <= 1000 for path in files)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert "line 399" in files[0].read_text()


def test_two_drivers_write_one_log_while_one_takes_over(tmp_path: Path) -> None:
    old = DriverLog(tmp_path / LOG_FILE, longest_bytes=200, kept=3)
    new = DriverLog(tmp_path / LOG_FILE, longest_bytes=200, kept=3)
    for number in range(6):
        old.emit(record(f"old {number} " + "x" * 50))
        new.emit(record(f"new {number} " + "x" * 50))
    old.close()
    new.close()

    kept = "".join(path.read_text() for path in sorted(tmp_path.iterdir(), reverse=True))

    lines = [" ".join(line.split()[:2]) for line in kept.splitlines()]
    assert len(lines) >= 8 and lines == sorted(lines, key=lambda line: int(line[4:]))
    assert lines[-2:] == ["old 5", "new 5"]


def test_what_a_process_says_beside_its_log_follows_it(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        subprocess.run(
            [sys.executable, "-c", SPEAKS_BESIDE_IT, str(tmp_path / LOG_FILE)],
            check=True,
            stderr=log,
            env=os.environ,
        )

    newest = (tmp_path / LOG_FILE).read_text() + (tmp_path / f"{LOG_FILE}.1").read_text()

    assert "line 19" in newest and "beside 19" in newest
    assert "beside 00" not in newest, "it was in a file that is gone"
