from __future__ import annotations

import json
from pathlib import Path

from orchestrator.agent.clock import Clock
from orchestrator.agent.host import Host, oom_kills
from orchestrator.agent.log import Log
from orchestrator.agent.runner import Runner
from orchestrator.agent.stopping import StopWish
from tests.agent.test_runner import QuietChildren


def sample(folder: Path, nvidia_smi: str) -> dict[str, object]:
    """One sample on a machine with this nvidia-smi."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{nvidia_smi}\n")
    program.chmod(0o700)
    log = Log(folder / "log.txt", 1)
    runner = Runner(QuietChildren(), log, StopWish(Clock()))
    taken = Host(folder, {"PATH": f"{folder}:/usr/bin:/bin"}, runner).sample()
    log.close()
    return taken


def test_each_gpu_has_its_load_and_memory(tmp_path: Path) -> None:
    gpus = sample(tmp_path, "echo '97, 2048'; echo '0, 1'")["gpus"]

    assert gpus == [
        {"util": 97.0, "memory_used_bytes": 2 << 30},
        {"util": 0.0, "memory_used_bytes": 1 << 20},
    ]


def test_what_nvidia_smi_cannot_say_is_left_out(tmp_path: Path) -> None:
    taken = sample(tmp_path, "echo '[N/A], [N/A]'; echo 'No devices were found'; exit 9")

    assert taken["gpus"] == []
    used_bytes, free_bytes = taken["ram_used_bytes"], taken["disk_free_bytes"]
    assert isinstance(used_bytes, int)
    assert isinstance(free_bytes, int)
    assert used_bytes > 0
    assert free_bytes > 0


def test_kills_for_memory_are_counted_from_nothing() -> None:
    assert oom_kills() >= 0


def test_traffic_is_counted_from_the_first_agents_start_on(tmp_path: Path) -> None:
    first = sample(tmp_path, "exit 9")
    kept = json.loads((tmp_path / "traffic.json").read_text())
    kept["received_bytes"] -= 1000
    (tmp_path / "traffic.json").write_text(json.dumps(kept))

    again = sample(tmp_path, "exit 9")

    assert isinstance(first["received_bytes"], int) and first["received_bytes"] >= 0
    assert isinstance(again["received_bytes"], int) and again["received_bytes"] >= 1000
