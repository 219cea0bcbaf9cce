"""What the documents of a provider leave open, and what is done until somebody has tried it.

What they leave open and no call of ours meets is no doubt: nothing rests on it, and no run of ours
would settle it.

- Vast.ai: under which status `spend_rate_limit` is told (its word is read under every one); what a
  create does with a key that is not documented (none is sent but `client_id`, as the official
  client does); whether ports in `env` are mapped (no port but SSH's own is asked for); whether
  `ssh_host` is there before an instance runs (until then an address may be missing, and is waited
  for); the units of `inet_*_billed` and `mem_*` (not read); which living instances get a key that
  is added to the account (none is).
- Lambda: whether one unknown id fails a batch of ends (each end goes alone); names and prices of
  types (read when they are needed); how late audit events are (not asked); how rule sets add up,
  and whether they filter private traffic (none is attached, and a machine works alone).
- RunPod: whether REST v1 is off (never called); whether `cmd` and `entrypoint` are taken everywhere
  (`args` carries both); which disk is the default (one is always sent); whether a rename starts a
  pod anew, and whether secrets have a call in v2 (neither is made); what the SDK sends for empty
  arguments (it only lists).
- Paperspace: all about the droplets that are to succeed it (none is rented).
"""

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
