"""`gpulease submit`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.agree import agree
from orchestrator.cli.commands.arguments import (
    JobArgument,
    KeepOption,
    MaxCostOption,
    MaxDurationOption,
    ProviderOption,
    ReuseOption,
    SetOption,
    WaitOption,
    to_seconds,
    to_sets,
    to_wait_s,
)
from orchestrator.cli.follow import follow
from orchestrator.cli.run_page import run_page
from orchestrator.cli.session import Session
from orchestrator.errors import UsageError


def command(
    ctx: typer.Context,
    job: JobArgument,
    provider: ProviderOption = None,
    max_cost: MaxCostOption = None,
    max_duration: MaxDurationOption = None,
    set_: SetOption = None,
    wait: WaitOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="A second run, though one of this name is open.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once; `gpulease attach last` follows.")
    ] = False,
    keep: KeepOption = None,
    reuse: ReuseOption = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; the job must have a cap.")
    ] = False,
    ephemeral_keys: Annotated[
        bool,
        typer.Option(
            "--ephemeral-keys",
            help="With --detach: use keys that are only in this environment, and lose them"
            " when the driver or this computer restarts.",
        ),
    ] = False,
) -> int:
    """Rent, ship, train, bring home, give back; follows the run to its receipt."""
    from orchestrator.app import SubmitOptions

    session: Session = ctx.obj
    sets = to_sets(set_, provider, max_cost, max_duration)
    wait_s, keep_s = to_wait_s(wait), to_seconds("--keep", keep)
    if wait_s and reuse:
        raise UsageError(
            "--wait is for something to rent, and --reuse rents nothing",
            hint=f"gpulease attach {reuse} ends once its machine is kept; then submit again",
        )
    written, plan = agree(session, job, sets, yes=yes, wait_s=wait_s, keep_s=keep_s, reuse=reuse)
    options = SubmitOptions(again, detach, ephemeral_keys, wait_s, keep_s, reuse)
    session.run_id, is_new = session.app.submit(written, plan, options)
    if not is_new:
        session.note(f"{written.name} is already open as {session.run_id}; --again makes another")
    if not detach:
        return follow(session, session.run_id, attached=False)
    view = session.app.view(session.run_id)
    session.result(dict(view), run_page(view))
    session.note(f"it goes on in the background: gpulease attach {session.run_id}")
    return 0
