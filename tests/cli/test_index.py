from __future__ import annotations

from orchestrator.cli.index import BY_NAME, COMMANDS, GROUPS


def test_names_are_unique_and_every_group_has_commands() -> None:
    assert len(BY_NAME) == len(COMMANDS)
    assert all(any(entry.group == group for entry in COMMANDS) for group in GROUPS)
