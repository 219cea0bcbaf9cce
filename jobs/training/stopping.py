"""SIGTERM: finish the step, save a checkpoint, end with 143."""

from __future__ import annotations

import signal
import sys
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM


class Stop:
    """Whether an end was asked for. Outside the training loop it comes at once."""

    def __init__(self) -> None:
        self.asked = False
        self.training = False

    def listen(self) -> None:
        """Take SIGTERM from here on."""
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.training and not self.asked:
            sys.exit(EXIT_CODE)
        if not self.asked:
            print("asked to stop: saving a checkpoint after this step", flush=True)
        self.asked = True
