"""Commented jobs to start from: what `gpulease init` writes."""

from __future__ import annotations

from orchestrator.errors import UsageError
from orchestrator.spec.job import KINDS, TASKS
from orchestrator.spec.nearest import did_you_mean, quoted
from orchestrator.spec.packaged import packaged

OWN_CODE = "code"
DEFAULT_TASK = "text-classification"


def starters() -> tuple[str, ...]:
    """What `--task` may be: the supported tasks, and `code` for one's own program."""
    return (*TASKS.words, OWN_CODE)


def starter_text(kind: str = "finetune", task: str | None = None) -> str:
    """The text of a starter job.

    Raises: UsageError for a kind or task that this version does not do.
    """
    if kind not in KINDS.words:
        raise _refused("kind", kind, KINDS.words, KINDS.later)
    task = task or DEFAULT_TASK
    if task not in starters():
        raise _refused("task", task, starters(), TASKS.later)
    return (packaged("templates") / "init" / f"{kind}-{task}.yaml").read_text(encoding="utf-8")


def _refused(
    what: str, word: str, supported: tuple[str, ...], later: tuple[str, ...]
) -> UsageError:
    reason = "is not yet supported in this version" if word in later else "is unknown"
    guess = did_you_mean(word, supported)
    return UsageError(f"{what} {quoted(word)} {reason}; supported: {', '.join(supported)}{guess}")
