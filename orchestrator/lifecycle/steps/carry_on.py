"""A computer of one's own that was restarted: its job goes on there, from the newest checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.agent.protocol import AGENT, EXIT_FILE, WHY_STOPPED
from orchestrator.lifecycle.agents import agent_lives
from orchestrator.lifecycle.deadlines import AGENT_SILENT_S
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.remote.shell import Shell
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish

_GOES_DOWN_S = 120.0  # from a SIGTERM to everything until nobody answers any more
_LOOK_S = 1.0
_RECORD_BYTES = 65_536


def carry_on(run: Run, world: World, lease: Lease, shell: Shell) -> Step | None:
    """Another agent for a job whose own was ended together with its computer.

    What lies there is used as it is: environment, model, checkpoints. None where nobody ended it,
    or it is not to go on; of a rented machine, whose disk may be another one, `watch` knows more.
    Raises: RemoteError.
    """
    now_s = world.clock.now_s()
    if lease.bills or run.stop_reason or run.wish is not Wish.GO_ON or now_s >= lease.stop_s:
        return None
    was_stopped = run.exit.get("why") == WHY_STOPPED
    is_silent = not run.exit and now_s - run.heard_s > AGENT_SILENT_S
    if not (was_stopped or is_silent):
        return None
    lives = agent_lives(shell)
    if lives and was_stopped and _goes_down(world, lease):
        return Wait(_LOOK_S, "its computer stopped the job, and may be restarting", run)
    if lives is not False or (is_silent and _has_ended(shell)):
        return None
    if shell.run(f"python3 {AGENT} resume", timeout_s=60.0).exit_code != 0:
        return None
    world.first_saw.pop(_key(lease), None)
    what = f"{lease.machine_id} was restarted, or its agent was killed"
    said = f"{what}: the job goes on from the newest checkpoint"
    # As the new agent will say itself, to whoever reads on from here.
    again = replace(run, exit={}, manifest_ready=False, upload="", heard_s=now_s)
    return Moved(again.note(said), after_s=_LOOK_S, events=(said,))


def _goes_down(world: World, lease: Lease) -> bool:
    return world.awake_since_first_saw_s(_key(lease)) < _GOES_DOWN_S


def _has_ended(shell: Shell) -> bool:
    """Whether the program came to an end of its own, which nobody could tell any more."""
    try:
        left = json.loads(shell.read(EXIT_FILE, 0, _RECORD_BYTES) or b"{}")
    except ValueError:
        return False
    return isinstance(left, dict) and left.get("why", WHY_STOPPED) != WHY_STOPPED


def _key(lease: Lease) -> str:
    return f"{lease.key} goes down"
