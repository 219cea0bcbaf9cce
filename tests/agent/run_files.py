"""Run files as bytes."""

from __future__ import annotations

import json

from orchestrator.agent import protocol


def run_file(**fields: object) -> bytes:
    """A run file that is valid but for `fields`."""
    run = {
        "protocol": protocol.PROTOCOL,
        "run": "runid123",
        "label": "gl1-homeid-runid123-01-trgpc0-trgs40",
        "created_at": 1800000000,
        "deadline_at": 1800003600,
        "hold_s": 1800,
        "device": "cpu",
        "command": "true",
    }
    return json.dumps({**run, **fields}).encode()
