"""`python -m infra.pictures`: runs the quickstart and writes plan, live view and receipt as SVG."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

from infra.demo import FOLDER, JOB, bare_environment, simulated_cloud
from infra.pictures.drawing import to_svg, to_text, without_place
from infra.pip_to_uv import uv_environment

PLACE = Path(__file__).resolve().parent
COLUMNS = 92
LINES = 70
LIVE_LINES = 28
_PATIENCE_S = 900.0


def main() -> int:
    """Write the pictures; 1 when the run did not end well."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    home = Path(tempfile.mkdtemp(prefix="gl"))
    base = bare_environment(os.environ)
    base |= uv_environment(base)
    person = {"HOME": str(home), "TERM": "xterm-256color", "COLORTERM": ""}
    try:
        with simulated_cloud(FOLDER, base, machines="real") as cloud:
            environment = {**base, **cloud, **person}
            _show(environment, home, "plan", "plan", str(JOB))
            following = Window(environment, "submit", str(JOB), "--yes", lines=LIVE_LINES)
            following.until(lambda text: "running" in text and _steps(text) >= 40)
            _write(following.screen, home, "live", f"gpulease submit {JOB}")
            code = following.end()
            _show(environment, home, "receipt", "receipt", "last")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return code


class Window:
    """A command on a terminal of its own."""

    def __init__(self, environment: Mapping[str, str], *arguments: str, lines: int = LINES) -> None:
        self.screen = pyte.Screen(COLUMNS, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._outer, inner = pty.openpty()
        termios.tcsetwinsize(inner, (lines, COLUMNS))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=dict(environment),
            stdin=inner,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)

    def until(self, is_enough: Callable[[str], bool]) -> None:
        """Read until the screen is as wanted, or the command has ended."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while not is_enough("\n".join(self.screen.display)):
            left_s = give_up_at - time.monotonic()
            ready, _, _ = select.select([self._outer], [], [], max(0.0, left_s))
            if not ready:
                raise SystemExit(f"pictures: after {_PATIENCE_S:.0f} s this is not on the screen")
            try:
                self._stream.feed(os.read(self._outer, 65536))
            except OSError:  # the other side is closed
                return

    def end(self) -> int:
        """Read until the command has ended; its exit code."""
        self.until(lambda _: False)
        os.close(self._outer)
        return self._process.wait()


def _show(environment: Mapping[str, str], home: Path, name: str, *arguments: str) -> None:
    window = Window(environment, *arguments)
    window.end()
    _write(window.screen, home, name, f"gpulease {' '.join(arguments)}")


def _write(screen: pyte.Screen, home: Path, name: str, title: str) -> None:
    text = without_place(to_text(screen), str(home))
    path = PLACE / f"{name}.svg"
    path.write_text(to_svg(text, title, columns=COLUMNS), encoding="utf-8")
    print(f"wrote {path.relative_to(Path.cwd())}")


def _steps(text: str) -> int:
    """How far the training on the screen is."""
    return max((int(step) for step in re.findall(r"step (\d+)/", text)), default=0)


if __name__ == "__main__":
    sys.exit(main())
