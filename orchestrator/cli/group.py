"""The command group: each command is imported when it is typed."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import TYPE_CHECKING

import typer
from typer._click.shell_completion import CompletionItem
from typer.core import TyperGroup

from orchestrator.cli.completing import GLOBAL_OPTIONS
from orchestrator.cli.index import BY_NAME, COMMANDS
from orchestrator.cli.options import take_global_options
from orchestrator.errors import UsageError
from orchestrator.spec.nearest import did_you_mean, quoted

if TYPE_CHECKING:
    from typer._click import Command, Context


class LazyGroup(TyperGroup):
    """Knows every command's name and first sentence without importing it."""

    def list_commands(self, ctx: Context) -> list[str]:
        return [entry.name for entry in COMMANDS if entry.group]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in BY_NAME:
            return None
        return load_command(cmd_name)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """As always; where words are only completed, nobody has taken the global options out."""
        if ctx.resilient_parsing:
            with contextlib.suppress(UsageError):
                ctx.obj, args = take_global_options(args)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        return [
            *found,
            *(
                CompletionItem(option, help=help_)
                for option, help_ in GLOBAL_OPTIONS
                if incomplete.startswith("-")
                and option.startswith(incomplete)
                and option not in known
            ),
        ]

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        name = args[0]
        if name in BY_NAME or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise UsageError(
            f"there is no command {quoted(name)}{did_you_mean(name, BY_NAME)}",
            hint="gpulease --help lists them",
        )


def load_command(name: str) -> Command:
    """Import one command and let typer read its signature."""
    module = import_module(f"orchestrator.cli.commands.{name}")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(
        name,
        epilog="Also: --json, --home DIR, --no-color, -v (gpulease --help)",
        context_settings={"help_option_names": ["--help", "-h"]},
    )(module.command)
    return typer.main.get_command(single)


def build_group(*, completion: bool = False) -> TyperGroup:
    """The whole command line; `completion` adds the options that install it in a shell.

    Options of the group are few for a reason: typer imports pydantic to read their absence. `main`
    answers --help before.
    """
    app = typer.Typer(
        cls=LazyGroup, rich_markup_mode=None, add_completion=completion, add_help_option=False
    )
    app.callback()(_nothing)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def _nothing() -> None:
    """Global options were taken out before (options.py)."""
