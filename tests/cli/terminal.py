"""A person's terminal: a program on a pseudo terminal, its screen read by pyte."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

PROGRAM = Path(__file__).parent / "fake_program.py"
ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 20.0
LOG_IN = """
import os, sys
os.login_tty(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Terminal:
    """`gpulease ARGUMENTS` over a FakeApp, or over what `program` is; its screen and keyboard."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        columns: int = 100,
        program: Sequence[str] = (str(PROGRAM),),
        place: Path | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self.screen = pyte.HistoryScreen(columns, 60, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self._keyboard, inner = pty.openpty()
        modes = termios.tcgetattr(inner)
        modes[3] |= termios.NOFLSH  # else Ctrl-C drops what was not read here yet
        termios.tcsetattr(inner, termios.TCSANOW, modes)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOG_IN, str(inner), *program, *arguments],
            cwd=place,
            pass_fds=(inner,),
            env={
                "TERM": "xterm",
                **environment,
                "PYTHONPATH": str(ROOT),
                "COLUMNS": str(columns),
                "LINES": "60",
            },
        )
        os.close(inner)
        self.raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keyboard)

    @property
    def text(self) -> str:
        """What is on the screen now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, text: str) -> None:
        """Read until the screen shows `text`."""
        self._read(lambda: text in self.text, text)

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def end(self) -> int:
        """Read until the program has ended; its exit code."""
        self._read(lambda: False, None)
        return self.process.wait(self._patience_s)

    def _read(self, is_enough: object, wanted: str | None) -> None:
        assert callable(is_enough)
        until_s = time.monotonic() + self._patience_s
        while not is_enough():
            ready, _, _ = select.select([self._keyboard], [], [], until_s - time.monotonic())
            assert ready, f"no {wanted!r} on the screen:\n{self.text}"
            try:
                data = os.read(self._keyboard, 65536)
            except OSError:  # the other side is closed
                data = b""
            if not data:
                assert wanted is None, f"ended without {wanted!r}:\n{self.text}"
                return
            self.raw += data
            self._stream.feed(data)
