"""Whether a killed program goes on from its newest complete checkpoint."""

from __future__ import annotations

from pathlib import Path

from .checkpoints import Checkpoint, complete_checkpoints
from .runner import Ended

_MOST = 20
_SHELL_SIGNALS = range(128 + 1, 128 + 65)  # how a shell says which signal killed its command


class Restarts:
    """A program may be killed once for each checkpoint that it got further.

    One that dies again and again at the same step would only cost money.
    """

    def __init__(self, work: Path, *, by_shell: bool) -> None:
        self._work = work
        self._by_shell = by_shell
        self._step = max((found.step for found in complete_checkpoints(work)), default=-1)
        self._left = _MOST

    def after(self, ended: Ended) -> Checkpoint | None:
        """The checkpoint from which the program shall go on; None when its end is its end."""
        if self.signal_of(ended) is None or ended.killed or not self._left:
            return None
        newest = max(complete_checkpoints(self._work), key=lambda one: one.step, default=None)
        if newest is None or newest.step <= self._step:
            return None
        self._step = newest.step
        self._left -= 1
        return newest

    def signal_of(self, ended: Ended) -> int | None:
        """What killed the program, also where a shell stood between it and the agent."""
        code = ended.exit_code
        if self._by_shell and code is not None and code in _SHELL_SIGNALS:
            return code - 128
        return ended.signal
