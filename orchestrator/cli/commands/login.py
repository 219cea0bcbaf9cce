"""`gpulease login`: keep a key."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from orchestrator.cli.blocks import Facts
from orchestrator.cli.completing import complete_account
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError
from orchestrator.settings import PROVIDER_KEYS
from orchestrator.spec.nearest import did_you_mean

_HUB = {"huggingface": "HF_TOKEN"}


def command(
    ctx: typer.Context,
    who: Annotated[
        str,
        typer.Argument(
            metavar="P",
            help="runpod, vast, lambda, paperspace, huggingface, or the NAME of a secret of "
            "your jobs.",
            autocompletion=complete_account,
        ),
    ],
) -> None:
    """Ask for a key (or read it from stdin), try it, and keep it in the keyring.

    Without a keyring it goes to the config file, which nobody else can then read.
    """
    session: Session = ctx.obj
    names = PROVIDER_KEYS | _HUB
    name = names.get(who, who)
    if who not in names and not (who.isupper() and who.isidentifier()):
        guess = did_you_mean(who, names) or f"; known: {', '.join(names)}, or a NAME_IN_CAPITALS"
        raise UsageError(f"{who} is no provider{guess}")
    key = _read_key(session, name)
    identity, balance = session.app.verify_key(who, key) if who in names else ("", "")
    place = session.settings.save_credential(name, key)
    answer = {"schema": 1, "name": name, "identity": identity, "balance": balance, "kept_in": place}
    rows = (("kept", f"{name} in {place}"), ("account", identity), ("balance", balance))
    session.result(answer, [Facts(rows)])


def _read_key(session: Session, name: str) -> str:
    if session.interactive:
        key = getpass.getpass(f"{name} (not shown): ", stream=sys.stderr)
    else:
        key = sys.stdin.readline()
    if not key.strip():
        raise UsageError(f"no {name} was given", hint="type it, or pipe it to stdin")
    return key.strip()
