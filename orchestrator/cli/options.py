"""Options that every command takes, before its name or after it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UsageError


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What was asked of every command."""

    json: bool = False
    home: Path | None = None
    verbose: int = 0
    version: bool = False
    no_color: bool = False


def take_global_options(arguments: Sequence[str]) -> tuple[GlobalOptions, list[str]]:
    """The global options, and the arguments without them; what follows `--` is left alone.

    They are taken out here, before the command's own parser, so that a mistake in the rest is
    already answered in the form that was asked for.

    >>> options, rest = take_global_options(["submit", "job.yaml", "--json", "-v"])
    >>> options.json, options.verbose, rest
    (True, 1, ['submit', 'job.yaml'])
    """
    json, home, verbose, version, no_color = False, None, 0, False, False
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        if argument == "--json":
            json = True
        elif argument in ("-v", "-vv", "--verbose"):
            verbose += argument.count("v") if argument != "--verbose" else 1
        elif argument == "--version":
            version = True
        elif argument == "--no-color":
            no_color = True
        elif argument == "--home":
            if not waiting:
                raise UsageError("--home needs a folder", hint="gpulease --home DIR ps")
            home = waiting.pop(0)
        elif argument.startswith("--home="):
            home = argument.partition("=")[2]
        else:
            rest.append(argument)
    return GlobalOptions(json, Path(home) if home else None, verbose, version, no_color), rest
