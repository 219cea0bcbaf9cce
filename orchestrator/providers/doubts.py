"""What the documents of a provider leave open, and what is done until somebody has tried it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """One open question; `tests/live` has a check of its key, which settles it for cents."""

    key: str
    question: str
    careful: str  # what is done meanwhile

    def check(self, provider: str) -> str:
        """The command that settles it, from a checkout.

        >>> Doubt("self-destroy", "", "").check("vast")
        'GPULEASE_LIVE=1 pytest tests/live/test_vast.py -k self_destroy'
        """
        name = self.key.replace("-", "_")
        return f"GPULEASE_LIVE=1 pytest tests/live/test_{provider}.py -k {name}"
