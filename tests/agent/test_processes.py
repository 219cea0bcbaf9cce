from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# In a process of its own: the agent adopts orphans and kills all that descends from it.
KILLS_ALL = """
import os, subprocess, sys, time
from pathlib import Path
from orchestrator.agent.processes import Children, living_descendants

here = Path.cwd()
children = Children()
spared = children.spawn(["sleep", "600"], cwd=here, env=os.environ, spared=True)
left = children.spawn(
    ["sh", "-c", "setsid sh -c 'sleep 600 & sleep 600' & setsid sleep 600 & exit 0"],
    cwd=here, env=os.environ,
)
left.wait()
give_up_s = time.monotonic() + 20
while len(living_descendants(os.getpid(), {spared.pid})) < 4 and time.monotonic() < give_up_s:
    time.sleep(0.01)
before = len(living_descendants(os.getpid(), {spared.pid}))
children.kill_all()
after = len(living_descendants(os.getpid(), {spared.pid}))
print(before, after, spared.poll())
spared.kill()
"""
REAPS = """
import os, time
from pathlib import Path
from orchestrator.agent.processes import Children

children = Children()
own = children.spawn(["sh", "-c", "(exit 0) & (exit 0) & exit 7"], cwd=Path.cwd(), env=os.environ)
give_up_s = time.monotonic() + 20
while time.monotonic() < give_up_s:
    children.reap()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        break
    time.sleep(0.01)
print(own.wait())
"""


def run(source: str) -> str:
    """What a program that uses the agent's modules prints."""
    ran = subprocess.run(
        [sys.executable, "-c", source],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


def test_all_descendants_end_however_they_detached_but_the_spared_one() -> None:
    assert run(KILLS_ALL) == "4 0 None\n"


def test_adopted_processes_are_buried_and_exit_codes_of_own_ones_kept() -> None:
    assert run(REAPS) == "7\n"
