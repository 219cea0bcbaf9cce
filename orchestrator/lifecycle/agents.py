"""What the agent of a machine answers when it is asked how it is."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.agent.protocol import AGENT, EVENTS_FILE
from orchestrator.lifecycle.report import to_record
from orchestrator.remote.shell import Shell
from orchestrator.runs.run import Run

_ANSWER_BYTES = 4096


def agent_status(shell: Shell) -> dict[str, object]:
    """The answer of `guard-status`; empty when the machine gives none. Raises RemoteError."""
    reply = shell.run(f"python3 {AGENT} guard-status", timeout_s=30.0)
    return to_record(reply.stdout[:_ANSWER_BYTES]) or {}


def agent_lives(shell: Shell) -> bool | None:
    """Whether the agent is at work; None when the machine does not say. Raises RemoteError."""
    said = agent_status(shell).get("agent_alive")
    return said if isinstance(said, bool) else None


def up_s(shell: Shell) -> float | None:
    """Seconds since the machine's kernel was started; None when it does not say.

    A container tells its host's. Raises RemoteError.
    """
    words = shell.run("cat /proc/uptime", timeout_s=30.0).stdout[:_ANSWER_BYTES].split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def past_a_cut_log(run: Run, shell: Shell) -> Run:
    """The run that reads its event log from the start, where that is shorter than what was read.

    The program writes to it too, and one that opens it to write cuts off what was there; then the
    agent's last words lie before the place where they are waited for. Raises RemoteError.
    """
    size = shell.run(f"wc -c <{EVENTS_FILE}", timeout_s=30.0).stdout.strip()
    is_cut = size.isdigit() and len(size) < 18 and int(size) < run.event_offset
    return replace(run, event_offset=0) if is_cut else run
