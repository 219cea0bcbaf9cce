from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.errors import HomeError
from orchestrator.lifecycle.talking import Answer, Line, ask_to_leave, socket_path, tell_driver


def test_what_is_said_is_heard_and_the_version_is_the_answer(short_home: Path) -> None:
    heard: list[Mapping[str, object]] = []

    with Line(short_home, "1.2", heard.append).open():
        assert socket_path(short_home).stat().st_mode & 0o777 == 0o600
        assert tell_driver(short_home, keys={"K": "v"}, nudge="r1") == Answer("1.2")

    assert heard == [{"keys": {"K": "v"}, "nudge": "r1"}]
    assert not socket_path(short_home).exists()


def test_a_question_of_another_version_is_understood_as_far_as_it_goes(short_home: Path) -> None:
    heard: list[Mapping[str, object]] = []

    with Line(short_home, "1.2", heard.append).open(), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_path(short_home)))
        client.sendall(b'{"nudge": "r1", "mood": ["new in 9.0"]}\n')
        assert json.loads(client.recv(4096))["ok"] is True

    assert heard[0]["nudge"] == "r1"


@pytest.mark.parametrize("said", [b"no json\n", b"[]\n", b""])
def test_nonsense_ends_nothing(short_home: Path, said: bytes) -> None:
    with Line(short_home, "1.2", lambda _: None).open():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path(short_home)))
            client.sendall(said)
        assert tell_driver(short_home, keys={}) == Answer("1.2")


def test_a_driver_of_an_older_version_that_says_no_version_is_one(short_home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path(short_home)))
        server.listen()

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b'{"ok": true}\n')

        threading.Thread(target=answer).start()
        assert tell_driver(short_home, keys={}) == Answer("")


def test_whoever_leaves_gives_the_keys_to_the_successor_alone(short_home: Path) -> None:
    line = Line(short_home, "1.2", lambda _: None)
    words: list[Answer | None] = []

    with line.open():
        assert not line.leave({"K": ["v"]}), "nobody waits"
        asking = threading.Thread(
            target=lambda: words.append(ask_to_leave(short_home, "2.0", 20.0))
        )
        asking.start()
        for _ in range(1000):
            if line.has_successor():
                break
            asking.join(0.01)
        assert tell_driver(short_home, keys={}) == Answer("1.2", leaves=True)
        assert line.leave({"K": ["v"]})
        asking.join(20)

    assert words == [Answer("1.2", leaves=True, keys={"K": ["v"]})]
    assert "'v'" not in repr(words)


def test_nobody_is_told_without_a_driver(short_home: Path) -> None:
    assert not tell_driver(short_home, keys={})


def test_a_socket_that_a_dead_driver_left_tells_nobody(short_home: Path) -> None:
    socket_path(short_home).touch()

    assert not tell_driver(short_home, keys={})


def test_a_long_home_has_its_socket_in_a_short_private_folder(
    short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_home))
    home = short_home / ("long" * 40)

    path = socket_path(home)

    assert len(str(path)) < 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path == socket_path(home) != socket_path(home / "other")


def test_a_short_folder_that_others_can_read_is_not_used(
    short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_home))
    home = short_home / ("long" * 40)
    socket_path(home).parent.chmod(0o755)

    with pytest.raises(HomeError, match="belongs to somebody else"):
        socket_path(home)
