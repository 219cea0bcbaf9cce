"""Jobs of own code: small scripts that do what a training does, in seconds."""

from __future__ import annotations

from tests.e2e.person import Person

JOB = """\
kind: finetune
name: {name}
code: {{path: trainer, command: "{command}"}}
gpu: {{allow_cpu: true}}
budget: {{max_cost: {max_cost}, max_duration: {max_duration}}}
providers: [runpod]
{more}"""

WRITES_A_RESULT = """\
import os, pathlib
print("hello from", os.getcwd())
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
(out / "result.txt").write_text("forty-two\\n")
"""

# Ends when the test says so: cloud.says_go(run_id).
WAITS = """\
import os, pathlib, time
word = pathlib.Path(os.environ["GPULEASE_CLOCK"]).with_name(os.environ["GPULEASE_RUN"])
while not word.exists():
    time.sleep(0.05)
"""


def own_code(
    person: Person,
    script: str = WRITES_A_RESULT,
    *,
    name: str = "mine",
    command: str = "python3 train.py",
    max_cost: str = "1.00",
    max_duration: str = "30m",
    more: str = "",
) -> str:
    """Put a job and its code on the desk; gives the job's file name."""
    person.writes("trainer/train.py", script)
    text = JOB.format(
        name=name, command=command, max_cost=max_cost, max_duration=max_duration, more=more
    )
    return person.writes(f"{name}.yaml", text).name
