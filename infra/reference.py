"""REFERENCE.md: every command, option, exit code and key of a job, told by the code itself.

`python -m infra.reference` writes it; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.completing import GLOBAL_OPTIONS
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.group import load_command
from orchestrator.cli.index import COMMANDS, GROUPS, Entry
from orchestrator.spec.job import CausalLmJob, FinetuneJob
from orchestrator.spec.schema import Key, keys

if TYPE_CHECKING:
    from typer._click import Parameter

PAGE = Path(__file__).resolve().parent.parent / "REFERENCE.md"
_HEAD = """\
# Reference

Written by `python -m infra.reference` from the commands and the job's schema.
What `error.code` may be stands in [README.md](README.md#errorcode).

`RUN` is the start of a run's id, its name, or `last`. `JOB` is a job file, or `-` for stdin.
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, "## Options of every command\n", *_global_options(), "## Commands\n"]
    for group in (*GROUPS, ""):
        title = re.sub(r"  \(.*\)", "", group) or "In the background"
        parts.append(f"### {title}\n")
        parts += [_command(entry) for entry in COMMANDS if entry.group == group]
    parts += ["## Exit codes\n", *_exit_codes()]
    parts += ["## Job file\n", *_job()]
    return "\n".join(parts)


def _global_options() -> Iterator[str]:
    yield from _table(("option", "does"), [(f"`{name}`", does) for name, does in GLOBAL_OPTIONS])


def _command(entry: Entry) -> str:
    command = load_command(entry.name)
    options = [one for one in command.params if _is_option(one) and one.name != "help"]
    arguments = [one for one in command.params if not _is_option(one)]
    usage = ["gpulease", entry.name, *map(_argument, arguments)]
    usage += ["[OPTIONS]"] if options else []
    rows = [(f"`{_metavar(one)}`", _help(one)) for one in arguments]
    rows += [(_option(one), _help(one)) for one in options]
    lines = [f"#### `{' '.join(usage)}`\n", f"{inspect.cleandoc(command.help or '')}\n"]
    return "\n".join([*lines, *(_table(("", ""), rows) if rows else [])])


def _is_option(parameter: Parameter) -> bool:
    return parameter.param_type_name == "option"


def _metavar(parameter: Parameter) -> str:
    return parameter.metavar or (parameter.name or "").upper()


def _argument(parameter: Parameter) -> str:
    word = _metavar(parameter)
    return word if parameter.required or word.startswith("[") else f"[{word}]"


def _option(parameter: Parameter) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(f"`{name}{value}`" for name in names)


def _help(parameter: Parameter) -> str:
    text = getattr(parameter, "help", None) or ""
    default = parameter.default
    if default in (None, False, "", 0.0) or not _is_option(parameter):
        return text
    return f"{text} Default: {default}."


def _exit_codes() -> Iterator[str]:
    yield from _table(("code", "means"), [(str(int(code)), _EXIT_CODES[code]) for code in ExitCode])
    yield "Where several hold, the first of 7, 8, 70, 4, 6, 5, 9, 3, 1 wins.\n"


def _job() -> Iterator[str]:
    yield "Durations are `45s`, `15m`, `2h`, `1h30m` or `2d`; dollars `2`, `2.50` or `$2.50`.\n"
    common = list(keys(FinetuneJob))
    known = set(common)
    language = [key for key in keys(CausalLmJob) if key not in known]
    yield from _keys(common)
    yield "With `task: causal-lm` these are other, or more:\n"
    yield from _keys(language)


def _keys(rows: list[Key]) -> Iterator[str]:
    yield from _table(
        ("key", "value", "default", "means"),
        [(f"`{key.path}`", key.kind, key.default, key.meaning) for key in rows],
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


_EXIT_CODES = {
    ExitCode.DONE: "done, or detached as asked",
    ExitCode.JOB_FAILED: "your job failed",
    ExitCode.USAGE: "usage, job file or home",
    ExitCode.NO_OFFER: "no offer or no capacity",
    ExitCode.CREDENTIALS: "credentials",
    ExitCode.BUDGET: "refused by budget, capped or expired",
    ExitCode.PROVIDER: "provider or machine trouble",
    ExitCode.NOT_RETURNED: "a machine is not proven returned",
    ExitCode.NOT_HOME: "artifacts are not home",
    ExitCode.CANCELLED: "cancelled",
    ExitCode.OURS: "our own fault",
    ExitCode.DETACHED: "Ctrl-C: the run goes on",
}


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
