"""The program's environment: by uv, from the requirements that came with the code."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from typing import Mapping

from . import protocol
from .environment import installer_environment
from .log import Log, last_words
from .requirements import Ingredients, ingredients
from .runfile import RunFile
from .runner import Runner

UV_VERSION = "0.13.9"  # installed where the machine has no uv

_TORCH_INDEX = "https://download.pytorch.org/whl"
_LOCAL_VERSION = re.compile(r"==\s*[\w.!]+\+(cpu|cu\d+)\b")
_UV_FOLDER = ".uv"
_UV_ERROR = re.compile(r"error: |\s*× ")
_UV_MARK = re.compile(r"error: |\s*(×|╰─▶|├─▶|cause:)\s")
_WORDS_LIMIT = 600


class SetupFailed(Exception):
    """The program cannot run; the text says why, in one paragraph."""


class Stopped(Exception):
    """Somebody wished the job to end meanwhile."""


class Setup:
    """Makes the environment in `venv/`."""

    def __init__(
        self, work: Path, run: RunFile, base: Mapping[str, str], runner: Runner, log: Log
    ) -> None:
        self._work = work
        self._run = run
        self._environment = installer_environment(base)
        self._runner = runner
        self._log = log

    def make_environment(self) -> None:
        """Raises SetupFailed, OSError."""
        mark = self._work / protocol.VENV_DIR / protocol.VENV_MARK
        if self._run.requirements is None:
            if mark.exists():  # the environment of an earlier job of this machine
                shutil.rmtree(str(mark.parent))
            self._name_python()
            return
        code = self._work / protocol.CODE_DIR
        requirements = code / self._run.requirements
        try:
            text = requirements.read_text(errors="replace")
            made_from = ingredients(code, requirements)
            made_of = self._made_of(made_from)
        except OSError as error:
            raise SetupFailed(f"code/{self._run.requirements} cannot be read: {error}") from error
        if made_of == _read_text(mark) and not made_from.is_editable:
            self._log.note("the environment is as this job needs it")
            return
        uv = self._uv()
        self._make_venv(uv)
        mark.touch()  # until it is whole, it is no job's
        self._install(uv, text, ["--refresh"] if made_from.has_folders else [])
        mark.write_text(made_of)

    def _made_of(self, made_from: Ingredients) -> str:
        """What an environment follows from."""
        run = self._run
        facts = [run.python, run.setup, isinstance(run.command, str), run.requirements]
        return hashlib.sha256(repr([*facts, made_from.digest()]).encode()).hexdigest()

    def _uv(self) -> str:
        installed = self._work / _UV_FOLDER / "bin" / "uv"
        beside = Path(sys.executable).parent / "uv"
        places = [str(beside), str(Path(self._environment["HOME"]) / ".local" / "bin" / "uv")]
        for place in [shutil.which("uv", path=self._environment["PATH"]), *places]:
            if place and Path(place).is_file():
                return place
        self._log.note(f"installing uv {UV_VERSION}")
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        argv += ["--target", str(self._work / _UV_FOLDER), f"uv=={UV_VERSION}"]
        if not self._runner.run(argv, cwd=self._work, env=self._environment).ok:
            raise SetupFailed(f"uv could not be installed: {last_words(self._log.tail())}")
        return str(installed)

    def _make_venv(self, uv: str) -> None:
        wanted = self._run.python
        # pip for `setup:` and shell commands, which may call it; a packaged program never does.
        seed = ["--seed"] if self._run.setup or isinstance(self._run.command, str) else []
        attempts = ((wanted, "never"), (f">={wanted}", "never"), (wanted, "automatic"))
        for version, downloads in attempts:
            argv = [uv, "venv", "--quiet", "--no-project", "--clear", "--python", version, *seed]
            argv.append(str(self._work / protocol.VENV_DIR))
            environment = {**self._environment, "UV_PYTHON_DOWNLOADS": downloads}
            if self._runner.run(argv, cwd=self._work, env=environment).ok:
                return
            self._log.note(f"no Python {version} here, downloads: {downloads}")
        raise SetupFailed(f"no Python {wanted} could be had: {last_words(self._log.tail())}")

    def _install(self, uv: str, requirements: str, options: list[str]) -> None:
        assert self._run.requirements is not None
        python = self._work / protocol.VENV_DIR / "bin" / "python"
        argv = [uv, "pip", "install", "--python", str(python), "-r", self._run.requirements]
        argv += options
        if self._run.try_for:
            argv += ["--dry-run", "--python-platform", self._run.try_for]
        for extra in install_attempts(requirements):
            if extra:
                self._log.note(f"once more, with {extra[1]}")
            code = self._work / protocol.CODE_DIR
            if self._runner.run([*argv, *extra], cwd=code, env=self._environment).ok:
                return
        words = installer_words(self._log.tail())
        raise SetupFailed(f"{self._run.requirements} could not be installed: {words}")

    def _name_python(self) -> None:
        """Many images have a python3 and no python: give it the name that commands use."""
        path = self._environment["PATH"]
        if (self._work / protocol.VENV_DIR / "bin" / "python").exists():
            return  # an environment that was made before: `python` may link to the machine's own
        if shutil.which("python", path=path) or not shutil.which("python3", path=path):
            return
        python = self._work / protocol.VENV_DIR / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text('#!/bin/sh\nexec python3 "$@"\n')
        python.chmod(0o700)


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def installer_words(text: str) -> str:
    """What uv says went wrong, as one paragraph: its last error, else its last words.

    >>> installer_words("Using Python 3.11\\nerror: No solution\\n  cause: no six==99\\n")
    'No solution: no six==99'
    """
    lines = text.splitlines()
    begun = [n for n, line in enumerate(lines) if _UV_ERROR.match(line)]
    if not begun:
        return last_words(text, lines=3)
    said = ""
    for line in lines[begun[-1] :]:
        mark = _UV_MARK.match(line)
        words = line[mark.end() :] if mark else line
        said = f"{said.rstrip(' :')}{': ' if mark and said else ' '}{words.strip()}".strip()
    return said[:_WORDS_LIMIT]


def install_attempts(requirements: str) -> list[list[str]]:
    """Further arguments of each attempt to install: a `+cpu` or `+cu126` build of torch is on
    PyTorch's own index, unless the machine's settings know another place.

    >>> install_attempts("torch==2.9.0+cpu")[1][:2]
    ['--index', 'https://download.pytorch.org/whl/cpu']
    >>> install_attempts("six==1.17.0")
    [[]]
    """
    builds = sorted(set(_LOCAL_VERSION.findall(requirements)))
    attempts: list[list[str]] = [[]]
    if builds:
        indexes = [word for build in builds for word in ("--index", f"{_TORCH_INDEX}/{build}")]
        attempts.append([*indexes, "--index-strategy", "unsafe-best-match"])
    return attempts
