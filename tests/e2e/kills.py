"""A training of jobs/ whose process is killed on its machine, right behind its first checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# A checkpoint is due ten seconds after the start: the process sleeps so long, that a training of a
# few steps has one in its middle on a computer of any speed.
_KILL = """\
cd "$HOME/gpulease/{label}" || exit
tries=25000
looks_on() {{ tries=$((tries - 1)); [ $tries -gt 0 ] || exit; sleep 0.02; }}
until [ -n "$id" ]; do
  looks_on
  for one in /proc/[0-9]*; do
    [ "$(readlink $one/cwd)" = "$(pwd -P)/code" ] || continue
    grep -q '[t]rain.py' $one/cmdline && id=${{one#/proc/}}
  done
done
until grep -q '"step": 2,' events.jsonl; do looks_on; done
kill -STOP $id && sleep 10 && kill -CONT $id
until ls checkpoints/step-*/complete.json; do looks_on; done >/dev/null 2>&1
kill -{signal} $id
"""
CHECKPOINTS = "checkpoints: {every: 10s}\n"


def losses(receipt: dict[str, Any]) -> dict[int, float]:
    """Step → loss of what was trained and kept."""
    text = Path(receipt["artifacts_dir"], "training_log.jsonl").read_text()
    history = [json.loads(line) for line in text.splitlines()]
    return {entry["step"]: entry["loss"] for entry in history if "loss" in entry}


def killing(label: str, signal: str = "KILL") -> str:
    """A shell's script for the machine of this label; it fails when there is nothing to kill."""
    return _KILL.format(label=label, signal=signal)
