"""What the Tab key offers beside commands and options. Nothing heavy is imported here.

No driver is started, no provider asked, and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from orchestrator.cli.options import GlobalOptions

PROVIDERS = ("runpod", "vast", "lambda", "paperspace", "local", "ssh_host")
TASKS = ("text-classification", "causal-lm", "code")
METHODS = ("full", "lora", "qlora")
KINDS = ("finetune", "code")
ACCOUNTS = ("runpod", "vast", "lambda", "paperspace", "huggingface")
GLOBAL_OPTIONS = (
    ("--json", "one JSON object on stdout, no questions"),
    ("--home", "runs, logs and artifacts of this home"),
    ("--no-color", "no colours"),
    ("--verbose", "say more"),
    ("--version", "print the version"),
    ("--help", "the first page"),
)

Offered = Iterator[tuple[str, str]]  # a word, and what it is


def complete_run(ctx: typer.Context, incomplete: str) -> Offered:
    """Names of open runs, ids of all, and `last`."""
    from orchestrator.store.glance import glance

    runs = glance(_home(ctx))
    words = [("last", "the newest run")] if runs else []
    words += [(run.name, f"{run.state}, {run.id}") for run in runs if run.is_open]
    words += [(run.id, f"{run.name}, {run.state}") for run in runs]
    yield from (word for word in words if word[0].startswith(incomplete))


def complete_provider(incomplete: str) -> list[str]:
    return _starting(PROVIDERS, incomplete)


def complete_task(incomplete: str) -> list[str]:
    return _starting(TASKS, incomplete)


def complete_method(incomplete: str) -> list[str]:
    return _starting(METHODS, incomplete)


def complete_kind(incomplete: str) -> list[str]:
    return _starting(KINDS, incomplete)


def complete_account(incomplete: str) -> list[str]:
    return _starting(ACCOUNTS, incomplete)


def _starting(words: tuple[str, ...], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _home(ctx: typer.Context) -> Path:
    options = ctx.find_root().obj
    asked = options.home if isinstance(options, GlobalOptions) else None
    if named := asked or os.environ.get("GPULEASE_HOME"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("gpulease", appauthor=False)
