"""The first page: what there is, how to begin, where things are. No imports, so that it is fast."""

from __future__ import annotations

from orchestrator.cli.index import COMMANDS, GROUPS

_HEAD = """\
gpulease: rent a GPU for one job, under a hard dollar cap, and give it back.

Usage: gpulease COMMAND [ARGUMENTS]     gpulease COMMAND --help explains one
"""

_TAIL = """\
Examples
  gpulease init finetune -o job.yaml       a job file, every field explained
  gpulease plan job.yaml                   which GPU, how long, how much
  gpulease submit job.yaml --max-cost 2    do it; asks once before it rents

Everywhere
  --json        one JSON object on stdout, no questions (logs, attach: lines)
  --home DIR    runs, logs and artifacts of this home (default: GPULEASE_HOME)
  -v            say more; a second -v says all
  --no-color    no colours, as with NO_COLOR in the environment
  --version     print the version

Where things are
  keys      RUNPOD_API_KEY, HF_TOKEN, ... in the environment, else the keyring
            (gpulease login), else the config file with mode 0600
  limits    [limits] of ~/.config/gpulease/config.toml: month_usd, machines,
            burn_usd_per_hour; no option can raise them
  runs      GPULEASE_HOME, else the user's data folder (`doctor` names it)

Exit codes
  0 done   1 your job failed   2 usage   3 no offer   4 credentials   5 budget
  6 provider   7 a machine is not proven returned   8 artifacts are not home
  9 cancelled   70 our fault   130 Ctrl-C: the run goes on
"""


def help_page() -> str:
    """The text of `gpulease --help`, at most 80 columns wide."""
    sections = [_HEAD]
    for group in GROUPS:
        lines = [f"  {e.name:<12}{e.summary}" for e in COMMANDS if e.group == group]
        sections.append("\n".join([group, *lines, ""]))
    return "\n".join([*sections, _TAIL])
