from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.send import serve
from tests.agent.work_folder import WorkFolder


def ask(folder: Path, *requests: object) -> list[tuple[dict[str, object], bytes]]:
    """Each answer with its bytes, from one connection."""
    lines = [
        request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        for request in requests
    ]
    out = io.BytesIO()
    serve(folder, io.BytesIO(b"".join(lines)), out)
    out.seek(0)
    answers = []
    while line := out.readline():
        answer = json.loads(line)
        answers.append((answer, out.read(answer.get("size_bytes", 0))))
    return answers


def test_ranges_of_files_come_back_exactly(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "x").write_bytes(b"0123456789")

    answers = ask(
        tmp_path,
        {"path": "output/x", "offset": 0, "end": 10},
        {"path": "output/x", "offset": 4, "end": 6},
        {"path": "output/x", "offset": 8, "end": 100},
        {"path": "output/x"},
        {"path": "output/x", "offset": 50, "end": 60},
    )

    assert [data for _, data in answers] == [b"0123456789", b"45", b"89", b"0123456789", b""]


@pytest.mark.parametrize(
    "request_line",
    [
        {"path": "../outside"},
        {"path": "/etc/passwd"},
        {"path": "output/../../outside"},
        {"path": "output/./x"},
        {"path": "output//x"},
        {"path": ""},
        {"path": "a\0b"},
        {"path": "\udcff"},
        {"path": "link"},
        {"path": "folder-link/outside"},
        {"path": "pipe"},
        {"path": "output"},
        {"path": "missing"},
        {"path": 3},
        {"path": "output/x", "offset": -1},
        {"path": "output/x", "end": "9"},
        [],
        b"no json\n",
        b"[" * 50_000 + b"\n",
        b"\xff\n",
    ],
    ids=str,
)
def test_what_is_not_a_file_of_the_folder_is_refused(tmp_path: Path, request_line: object) -> None:
    folder = tmp_path / "work"
    (folder / "output").mkdir(parents=True)
    (folder / "output" / "x").write_bytes(b"x")
    (tmp_path / "outside").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "folder-link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")

    (refused, nothing), (_, served) = ask(folder, request_line, {"path": "output/x"})

    assert "error" in refused
    assert (nothing, served) == (b"", b"x")


def test_serving_is_noticed_by_the_agent(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")

    ask(tmp_path, {"path": "x"})

    assert (tmp_path / protocol.SENT_FILE).exists()


def test_the_hold_starts_again_while_files_are_sent(work: WorkFolder) -> None:
    work.write_run("echo hello", deadline_at=work.started_s + 100_000)
    work.run()
    work.advance(1790)

    with subprocess.Popen(
        [sys.executable, protocol.AGENT, "send"],
        cwd=work.path,
        env=work.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdin.write(protocol.encode({"path": "log.txt", "offset": 0, "end": 5}))
        sender.stdin.flush()
        assert sender.stdout.readline() == b'{"size_bytes":5}\n'
        assert sender.stdout.read(5) == b"hello"
        # The agent looks four times a second; a checkpoint's event shows that it has looked.
        checkpoint = work.path / "checkpoints" / "step-1"
        checkpoint.mkdir(parents=True)
        (checkpoint / "complete.json").write_text('{"step": 1}')
        work.wait_for("checkpoint")
        sender.stdin.close()
    work.advance(1000)

    assert work.agent_is_alive()
    assert not work.events("ending")
    work.advance(1900)
    assert work.wait_for("ending")["why"] == "hold"
