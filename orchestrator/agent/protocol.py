"""What the driver and the agent agree on: files, records, events. Python 3.8, standard library.

The only file of the agent that other layers import. All files lie in the machine's work folder,
`$HOME/gpulease/<label>` (on this computer: the machine's own folder). Times are epoch seconds,
sizes bytes. JSON files are written to a temporary name, fsynced and renamed.

    agent.pyz        the agent, a zipapp; commands, each run in the work folder:
                     `start`         detaches; answers {"started": true, "pid": n}; once more,
                                     while that agent lives, with "again": true; else
                                     {"started": false, "error": "…", "pid"?: n}, "error" on stderr
                                     too, and exit code 3 when the folder's agent is gone, 2 when
                                     run.json is not valid
                     `stop [GRACE_S [REASON]]`  writes `stop`; on a full disk tells by SIGTERM
                     `conclude`      where the agent died: starts another, which ends what it left
                                     running and gives back what is there; answers as `start`, and
                                     with exit code 3 the second time, or where none had died
                     `resume`        the same for one that goes on with the job, from its newest
                                     checkpoint: as `resumed`; a few times, then exit code 3
                     `kill`          ends agent, program and all they started, at once
                     `send`          see below
                     `here FOLDER…`  lists files of these folders: HERE
                     `clear RUN`     ends the agent of a job that is over and fetched, and removes
                                     what it left but environment, model, code and data; exit code 3
                                     when it is not over. From then on the folder may get an agent
                     `drop`          removes the files in the JSON list on stdin, below SENT_DIRS
                     `guard-status`  {"armed", "credential", "reachable", "label", "boots",
                                     "agent_alive", "agent_pid", "deadline"}; armed: the loop lives
    run.json         RUN FILE, 0600, written by the driver before `start`
    secrets.json     {"NAME": "value"}, 0600; a link to a file on tmpfs where there is one
    slots.json       SLOTS, where the run file has an `upload`; a secret as secrets.json is, and
                     replaced now and then
    index.json       INDEX as it was last sent to the bucket
    guard.json       GUARD RECORD, written by the boot guard where there is one
    deadline         text: absolute epoch by which this machine ends; only ever moved earlier,
                     or later up to the label's own deadline
    machine.env      the container's environment as PID 1 saw it (NUL separated), 0600
    code/            the program: the user's folder, or one folder of jobs/
    data/            data files of the job
    model/           the downloaded model (GPULEASE_MODEL)
    venv/            the program's environment
    output/          what the program gives back (GPULEASE_OUTPUT); all of it is artifacts
    checkpoints/     GPULEASE_CHECKPOINTS; one folder per checkpoint, complete when it holds
                     `complete.json` = {"step": n, "at": t,
                     "files": [{"path", "size_bytes", "sha256"}]}
    log.txt          stdout and stderr of set-up and program, in order
    events.jsonl     EVENTS, one JSON object a line, appended only
    metrics.json     final metrics, written by the program: {"eval_accuracy": 0.97, …}
    exit.json        EXIT RECORD
    manifest.json    MANIFEST, written last of all
    stop             written by the driver: {"reason": "cancelled", "grace_s": 60}
    cleared          text: the run for which `clear` made room
    hashes           of files that `here` has read before; touched while it reads, because the
                     boot guard looks for what changes, names with a dot left out
    tails/OFFSET/…   the rest of a file that was cut at OFFSET when it was sent; `here` and `start`
                     put it behind what is there
    fetched          written by the driver when everything is home
    traffic.json     the network's counters when the first agent began
    sent             touched by `send`, and with each group of small files: while artifacts are
                     fetched, `hold_s` does not run out
    end              its presence makes the boot guard end the machine now
    guard.sh         the boot guard's loop; the agent starts it again if it dies
    agent.pid        the agent's pid, locked (flock) while it lives. A folder has one agent, once
    concluded        written by `conclude`
    resumed          text: how often `resume` has started another agent
    agent.stderr     what the agent itself had to say, normally nothing
    reserve          1 MiB, given up so that the last records fit on a full disk

Versions. An agent is started by the driver that shipped it, and both are of one version then. A
newer driver may take over while it runs: it reads every protocol from OLDEST on, and writes what
that agent reads (`stop`, `fetched`, `deadline`, slots.json, `send`). So within these numbers a
field or a file is only ever added, an unknown one is ignored, and none changes its meaning. A
driver that meets a newer agent reads what it knows, and returns the machine as ever.
"""

from __future__ import annotations

import json
from typing import Mapping

PROTOCOL = 1
OLDEST = 1  # of the agents that this version's driver can take over

AGENT = "agent.pyz"
RUN_FILE = "run.json"
SECRETS_FILE = "secrets.json"
SLOTS_FILE = "slots.json"
INDEX_FILE = "index.json"
SLOT_PREFIX = "parts/"
GUARD_FILE = "guard.json"
DEADLINE_FILE = "deadline"
ENVIRONMENT_FILE = "machine.env"
CODE_DIR = "code"
DATA_DIR = "data"
MODEL_DIR = "model"
OUTPUT_DIR = "output"
CHECKPOINTS_DIR = "checkpoints"
LOG_FILE = "log.txt"
EVENTS_FILE = "events.jsonl"
METRICS_FILE = "metrics.json"
EXIT_FILE = "exit.json"
MANIFEST_FILE = "manifest.json"
STOP_FILE = "stop"
FETCHED_FILE = "fetched"
SENT_FILE = "sent"
END_FILE = "end"
GUARD_SCRIPT = "guard.sh"
PID_FILE = "agent.pid"
CONCLUDED_FILE = "concluded"
RESUMED_FILE = "resumed"
STDERR_FILE = "agent.stderr"
RESERVE_FILE = "reserve"
TRAFFIC_FILE = "traffic.json"  # the network's counters when the first agent began
VENV_DIR = "venv"
CLEARED_FILE = "cleared"
HASHES_FILE = "hashes"
VENV_MARK = "gpulease"  # in venv/: what it was made of
MODEL_MARK = ".model"  # which model of a hub is in model/
TAILS_DIR = "tails"
SENT_DIRS = (CODE_DIR, DATA_DIR, MODEL_DIR, CHECKPOINTS_DIR)  # what the driver's files lie in
CHECKPOINT_COMPLETE = "complete.json"

# RUN FILE
#   {"protocol": 1, "run": "…", "label": "gl1-…", "created_at": t, "deadline_at": t, "hold_s": 1800,
#    "keep_s": 0,                   # how long the machine stays after everything was fetched
#    "stop_at": t,                  # then the program is asked to stop; the deadline if absent
#    "ends_machine": true,          # false where ending is not the agent's to do (this computer)
#    "device": "cuda" | "cpu",      # cuda: torch must see a GPU; cpu: allow_cpu was granted
#    "setup": "shell text" | null,  # the job's own `setup:` command, run in code/ before the
#                                   # program, with the program's environment
#    "requirements": "requirements.cpu.txt" | null,   # in code/; installed by uv into venv/;
#                                   # null: the machine's own python runs the program
#    "try_for": "x86_64-manylinux_2_28" | null,   # only find out whether the requirements can be
#                                   # installed on such a platform; nothing is installed
#    "python": "3.11",              # for the environment; a newer one is taken where it is missing
#    "model": {"id": "…", "revision": "40 hex", "endpoint": "https://…"} | null,
#    "command": ["python", "train.py", …] | "shell text",  # run in code/ with venv first on PATH
#    "environment": {"K": "v"},     # the job's env
#    "upload": {"keep": [KIND, …], "every_s": 30} | null,   # to a bucket, by slots.json: log and
#                                   # events every so often, checkpoints, at last the manifest's
#                                   # files of these kinds
#    "cost": {"usd_per_hour": 0.69, "before_usd": 0.12} | null,  # before: on earlier machines
#    "checkpoints_every_s": 900, "grace_s": 60,
#    "log_limit_bytes": 1073741824}
#
# The program sees GPULEASE_LABEL (all that the agent starts does), GPULEASE_RUN, GPULEASE_DATA,
# GPULEASE_MODEL, GPULEASE_OUTPUT, GPULEASE_CHECKPOINTS, GPULEASE_METRICS (path of metrics.json),
# GPULEASE_EVENTS (append JSON lines: progress), GPULEASE_DEVICE,
# GPULEASE_CHECKPOINT_EVERY_S, GPULEASE_DEADLINE, and with a `cost` GPULEASE_USD_PER_HOUR and
# GPULEASE_SPENT_USD (of the run, when the program was started). SIGTERM asks for a checkpoint and
# an end within grace_s.
#
# GUARD RECORD (boot guard): {"armed_at": t, "label": "…", "boots": 1, "credential": true,
#    "reachable": true, "pid": n}
#
# EVENTS: every line {"at": t, "event": NAME, …}; NAMES:
#   phase      {"phase": "setup" | "download" | "program" | "flush", "state": "started" | "ended",
#               "seconds"?: s, "detail"?: "…"}
#   progress   {"step", "steps", "loss"?, "learning_rate"?, "samples_per_s"?, "epoch"?, "eta_s"?,
#               "metrics"?: {"eval_loss": …}}                     (written by the program)
#   checkpoint {"step", "path": "checkpoints/step-40", "size_bytes"}
#                                                          (agent, when complete.json appears)
#   host       {"cpu_percent", "ram_used_bytes", "disk_free_bytes",
#               "received_bytes", "sent_bytes" (over its network since its first agent began),
#               "gpus": [{"util", "memory_used_bytes"}]}
#   restarted  {"signal", "step"}       (the program was killed, and goes on from its newest
#                                        checkpoint, once for each that is new)
#   resumed    {}                       (another agent goes on with the job: what was said
#                                        before of its end and of an upload counts no more)
#   message    {"text"}                                            (shown to the person)
#   exited     the EXIT RECORD's fields
#   ready      {"manifest": true}                                  (manifest.json is complete)
#   upload     {"state": "sending" | "failing" | "complete", "done_bytes", "left_bytes",
#               "problem"?}         (only with an `upload`; complete: everything is in the bucket)
#   ending     {"why": "deadline" | "hold" | "fetched" | "kept" | "uploaded"}; kept: nobody used the
#              machine again within `keep_s`; hold: `hold_s` after `ready`
#              nothing was fetched and nothing was being sent; fetched: the same moment with
#              `fetched` there (where `ends_machine` is false: at once); uploaded: everything is in
#              the bucket, and whoever watches had a moment to read the last of the log
#
# EXIT RECORD: {"protocol": 1, "exit_code": n | null, "signal": n | null, "why": one of WHY,
#    "phase": "setup" | "download" | "program", "started_at": t | null, "ended_at": t,
#    "message": "last words, one paragraph", "out_of_memory": bool, "disk_full": bool}
WHY_FINISHED = "finished"  # the program ended by itself, whatever its exit code
WHY_STOPPED = "stopped"  # the driver asked
WHY_DEADLINE = "deadline"  # the machine's own deadline came
WHY_SETUP = "setup"  # requirements, model or setup command failed; the program never ran
WHY_NO_GPU = "no_gpu"  # device cuda, and torch sees none
WHY = (WHY_FINISHED, WHY_STOPPED, WHY_DEADLINE, WHY_SETUP, WHY_NO_GPU)

# MANIFEST: {"protocol": 1, "at": t, "files": [{"path": "output/model/model.safetensors",
#    "size_bytes": n, "sha256": "…", "kind": KIND}],
#    "left": [{"kind": KIND, "files": n, "first": path}]}: `left` is what stands behind the
#    FILES_LIMIT first ones; with KIND in order of pull:
KINDS = ("exit", "metrics", "logs", "model", "checkpoint", "rest")
FILES_LIMIT = 100_000
LIST_LIMIT_BYTES = 64 << 20  # of a MANIFEST or an INDEX
DEEPEST = 64  # slashes in a path

# SLOTS: {"protocol": 1, "ends_at": t, "part_bytes": n, "index": {"key", "url"},
#    "slots": [{"key": "parts/00001", "url": "https://…"}, …]}: each URL takes one PUT body after
#    another, for its one key alone. Keys are relative to the machine's folder in the bucket.
# INDEX: {"protocol": 1, "run", "label", "at": t, "complete": bool,
#    "files": [a file of the MANIFEST, with "parts"],
#    "others": [{"path", "size_bytes", "parts"}], "changed": [path], "left": as the MANIFEST's}:
#    `others` are log, events and checkpoints so far; `changed` are files of the MANIFEST that were
#    not as listed any more;
#    "parts": [{"key", "offset", "size_bytes"}], the file's bytes in order; small files share a key.

# HERE, on stdout: for each file and link "MODE SHA256 SIZE PATH\\0", MODE being 644, 755 or link
# (then SHA256 is that of the link's text).
#
# `agent.pyz send` (stdin → stdout): one line {"path", "offset", "end"}; the answer is one line
# {"size_bytes": bytes that follow} or {"error": "…"}, then exactly that many bytes.


def speaks(number: object) -> bool:
    """Whether what says this protocol number of itself can be read whole.

    >>> speaks(PROTOCOL), speaks(PROTOCOL + 1), speaks(None)
    (True, False, False)
    """
    return type(number) is int and OLDEST <= number <= PROTOCOL


def encode(record: Mapping[str, object]) -> bytes:
    """One record as a JSON line."""
    return (json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n").encode()
