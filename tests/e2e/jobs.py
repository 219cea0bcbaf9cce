"""Jobs of own code: small scripts that do what a training does, in seconds."""

from __future__ import annotations

from tests.e2e.person import Person

JOB = """\
kind: finetune
name: {name}
code: {{path: trainer, command: "{command}"{requirements}}}
gpu: {{allow_cpu: true}}
budget: {{max_cost: {max_cost}, max_duration: {max_duration}}}
providers: [{providers}]
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
    requirements: str = "",
    providers: str = "runpod",
    more: str = "",
) -> str:
    """Put a job and its code on the desk; gives the job's file name."""
    person.writes("trainer/train.py", script)
    text = JOB.format(
        name=name,
        command=command,
        requirements=f", requirements: {requirements}" if requirements else "",
        max_cost=max_cost,
        max_duration=max_duration,
        providers=providers,
        more=more,
    )
    return person.writes(f"{name}.yaml", text).name


TRAINING = """\
import hashlib, json, os, pathlib, shutil, signal, sys, time

STEPS, SAVES_EVERY, WAITS_AT, DIES_AT = {steps}, {saves_every}, {waits_at}, {dies_at}
saves = pathlib.Path(os.environ["GPULEASE_CHECKPOINTS"])
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
clock = pathlib.Path(os.environ.get("GPULEASE_CLOCK", "clock"))
words = [pathlib.Path("go"), clock.with_name(os.environ["GPULEASE_RUN"])]
asked = []
signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))


def tell(**event):
    with open(os.environ["GPULEASE_EVENTS"], "a") as events:
        events.write(json.dumps({{"at": time.time(), "event": "progress", **event}}) + "\\n")


def save(step, state):
    writing = saves / ".writing"
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir()
    (writing / "state.json").write_text(json.dumps(state))
    data = (writing / "state.json").read_bytes()
    file = {{"path": "state.json", "size_bytes": len(data)}}
    file["sha256"] = hashlib.sha256(data).hexdigest()
    complete = {{"step": step, "at": time.time(), "files": [file]}}
    (writing / "complete.json").write_text(json.dumps(complete))
    shutil.rmtree(saves / f"step-{{step}}", ignore_errors=True)
    writing.rename(saves / f"step-{{step}}")


found = sorted(saves.glob("step-*/state.json"), key=lambda one: int(one.parent.name[5:]))
state = json.loads(found[-1].read_text()) if found else {{"steps": [], "lives": 0}}
state["lives"] += 1
for step in range(len(state["steps"]) + 1, STEPS + 1):
    state["steps"].append(step)
    print("step", step, flush=True)
    tell(step=step, steps=STEPS)
    if step == DIES_AT and state["lives"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while step == WAITS_AT and not asked and not any(word.exists() for word in words):
        time.sleep(0.02)
    if step % SAVES_EVERY == 0 or asked:
        save(step, state)
    if asked:
        (out / "stopped.txt").write_text(f"signal {{asked[0]}} after step {{step}}\\n")
        sys.exit(0)
metrics = pathlib.Path(os.environ["GPULEASE_METRICS"])
metrics.write_text(json.dumps({{"steps": len(state["steps"])}}))
(out / "trained.json").write_text(json.dumps(state))
"""


def training(*, steps: int = 6, saves_every: int = 2, waits_at: int = 0, dies_at: int = 0) -> str:
    """A program that counts steps and saves itself, at SIGTERM too.

    Args:
        waits_at: at this step, until there is a file `go` in its folder, or cloud.says_go(run_id).
        dies_at: at this step its first life ends by SIGKILL.
    """
    return TRAINING.format(steps=steps, saves_every=saves_every, waits_at=waits_at, dies_at=dies_at)
