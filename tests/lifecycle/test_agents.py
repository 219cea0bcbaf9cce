from __future__ import annotations

import pytest

from orchestrator.lifecycle.agents import agent_lives, agent_status
from orchestrator.remote.shell import Reply
from tests.lifecycle.steps.harness import Box


@pytest.mark.parametrize(
    ("said", "lives"),
    [
        (b'{"agent_alive": true}', True),
        (b'{"agent_alive": false, "boots": 2}', False),
        (b'{"agent_alive": "yes"}', None),
        (b"nonsense", None),
        (b"", None),
    ],
)
def test_what_a_machine_says_of_its_agent_is_believed_only_as_far_as_it_is_plain(
    said: bytes, lives: bool | None
) -> None:
    assert agent_lives(Box(replies={"guard-status": Reply(0, said, b"")})) is lives


def test_an_answer_without_end_is_cut() -> None:
    answer = b'{"agent_alive": true, "x": "' + b"x" * 9000 + b'"}'

    assert agent_status(Box(replies={"guard-status": Reply(0, answer, b"")})) == {}
