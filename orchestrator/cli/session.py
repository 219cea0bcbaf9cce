"""What every command works with: the options, the App, and the two streams."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from orchestrator.cli.blocks import Block, Text, Tone
from orchestrator.cli.clean import clean, clean_line
from orchestrator.cli.options import GlobalOptions

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.clock import Clock
    from orchestrator.lifecycle.looking import Look
    from orchestrator.settings import Settings
    from orchestrator.spec.job import Job

MakeApp = Callable[["Settings"], "App"]


@dataclass
class Session:
    """One call of the command. Results go to stdout; everything on the way goes to stderr."""

    options: GlobalOptions
    make_app: MakeApp
    run_id: str | None = field(default=None, init=False)  # which run an error is about
    job: Job | None = field(default=None, init=False)  # which job an error is about

    @cached_property
    def settings(self) -> Settings:
        from orchestrator.settings import load_settings

        return load_settings(self.options.home)

    @cached_property
    def app(self) -> App:
        return self.make_app(self.settings)

    @property
    def look(self) -> Look | None:
        """The home where nothing in it is open: what is only shown then takes no App."""
        from orchestrator.store.archive import archive_at

        archive = archive_at(self.settings.database_url)
        if archive is None:
            return None
        from orchestrator.lifecycle.looking import Look

        return Look(archive, self.settings.home, self.clock)

    @cached_property
    def clock(self) -> Clock:
        from orchestrator.clock import SystemClock

        return SystemClock(self.settings.clock_file)

    @property
    def interactive(self) -> bool:
        """A person is there to answer."""
        return not self.options.json and sys.stdin.isatty() and sys.stderr.isatty()

    def find(self, reference: str, *, for_change: bool = False) -> str:
        """The run that RUN means; later errors are about it."""
        self.run_id = self.app.find(reference, for_change=for_change)
        return self.run_id

    def load_job(self, path: str, sets: Iterable[str] = ()) -> Job:
        """The job in a file, or on stdin for `-`."""
        from orchestrator.spec.load import load_job

        stdin_text = self._stdin_text if path == "-" else None
        self.job = load_job(path, sets=sets, stdin_text=stdin_text, fetch=self._fetch)
        return self.job

    def _fetch(self, address: str) -> Path:
        """Data that lies elsewhere."""
        self.note("fetching data that lies elsewhere")
        return self.app.fetch_data(address)

    @cached_property
    def _stdin_text(self) -> str:
        return sys.stdin.read()

    def result(self, value: Mapping[str, object], blocks: Iterable[Block]) -> None:
        """The answer: `value` with --json, else the page."""
        if self.options.json:
            self.emit(value)
        else:
            self._print(sys.stdout, blocks)

    def emit(self, value: Mapping[str, object]) -> None:
        """One JSON object on one line of stdout."""
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    def aside(self, blocks: Iterable[Block]) -> None:
        """A page on the way to the answer."""
        self._print(sys.stderr, blocks)

    def note(self, text: str) -> None:
        """A line on the way to the answer."""
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()

    def line(self, text: str) -> None:
        """A line of a log on stdout."""
        sys.stdout.write(clean_line(text) + "\n")
        sys.stdout.flush()

    def alarm(self, problem: str, hint: str = "") -> None:
        """The one printer of errors."""
        blocks = [Text(f"error: {problem}", Tone.BAD, unbroken=True)]
        if hint:
            blocks.append(Text(f"hint: {hint}", unbroken=True))
        self._print(sys.stderr, blocks)

    def ask(self, question: str) -> str:
        """What a person types; the question goes to stderr. Empty at the end of the input."""
        sys.stderr.write(clean(question) + " ")
        sys.stderr.flush()
        return sys.stdin.readline().strip()

    @property
    def seen_file(self) -> Path | None:
        """Where this home notes how far the log of the session's run was shown."""
        return self.settings.home / "seen" / self.run_id if self.run_id else None

    def _print(self, stream: IO[str], blocks: Iterable[Block]) -> None:
        from orchestrator.cli.render import print_blocks

        print_blocks(stream, blocks, color=not self.options.no_color)
