"""`gpulease driver`: the background process that moves this home's runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli.blocks import Bullets, Text, Tone
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError

_KEYS = "it finds keys in the keyring and the config file alone: gpulease login P keeps one"


class Act(StrEnum):
    INSTALL = "install"
    UNINSTALL = "uninstall"


def command(
    ctx: typer.Context,
    act: Annotated[
        Act | None, typer.Argument(help="Make it a service of yours, or undo that.")
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Wait for runs, as a service does; else it ends.")
    ] = False,
    print_: Annotated[
        bool, typer.Option("--print", help="Show the service's file; install nothing.")
    ] = False,
) -> None:
    """Move every open run of this home until none is left; `submit` starts this by itself.

    `install` keeps it alive across logouts and reboots: a systemd user unit, on macOS a launchd
    agent. It finds keys in the keyring and the config file alone.
    """
    session: Session = ctx.obj
    if act is None:
        if print_:
            raise UsageError("--print goes with install", hint="gpulease driver install --print")
        session.app.drive(stays=stay)
    elif stay or (print_ and act is Act.UNINSTALL):
        raise UsageError(f"{act} takes no such option", hint="gpulease driver --help")
    elif act is Act.UNINSTALL:
        _uninstall(session)
    elif print_:
        file = session.app.service_file()
        value = {"schema": 1, "path": str(file.path), "text": file.text}
        session.result(value, [Text(file.text.rstrip(), unbroken=True)])
        session.note(f"for {file.path}; {_KEYS}")
    else:
        path, left = session.app.install_driver()
        value = {"schema": 1, "path": str(path), "to_do": left}
        session.result(
            value, [Text(f"installed: {path}"), Bullets((_KEYS,)), Bullets(tuple(left), Tone.WARN)]
        )


def _uninstall(session: Session) -> None:
    path = session.app.uninstall_driver()
    words = f"removed: {path}" if path else "this home's driver is no service"
    session.result({"schema": 1, "path": str(path) if path else None}, [Text(words)])
