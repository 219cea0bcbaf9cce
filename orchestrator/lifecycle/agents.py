"""What the agent of a machine answers when it is asked how it is."""

from __future__ import annotations

from orchestrator.agent.protocol import AGENT
from orchestrator.lifecycle.report import to_record
from orchestrator.remote.shell import Shell

_ANSWER_BYTES = 4096


def agent_status(shell: Shell) -> dict[str, object]:
    """The answer of `guard-status`; empty when the machine gives none. Raises RemoteError."""
    reply = shell.run(f"python3 {AGENT} guard-status", timeout_s=30.0)
    return to_record(reply.stdout[:_ANSWER_BYTES]) or {}


def agent_lives(shell: Shell) -> bool | None:
    """Whether the agent is at work; None when the machine does not say. Raises RemoteError."""
    said = agent_status(shell).get("agent_alive")
    return said if isinstance(said, bool) else None
