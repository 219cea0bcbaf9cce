"""Behaviours of Paperspace's API that its documents leave open, or that differ between versions."""

from __future__ import annotations

from dataclasses import dataclass

from infra.simcloud import switches


@dataclass(slots=True)
class Switches(switches.Switches):
    """The defaults are what was seen last, else the careful reading of the facts."""

    page_size: int = 0  # most rows of a page, of every list; 0: as many as are asked for
    null_next_page: bool = False  # the last page says so with null, and not without a word
    region_as: str = "code"  # or label
    ip_share: float = 0.7  # of the boot, until a dynamic address is shown
    script_s: float = 0.3  # sshd is up → the startup script runs
    stopping_s: float = 5.0
    deleting_s: float = 20.0  # 50 were seen
    delete_needs_off: bool = False  # a running machine is refused with 412
    after_end: str = "404"  # or dtDeleted: shown by id for ever
    script_forgets: bool = False  # a script names its machine only while that lives
    auto_shutdown: str = "absolute"  # from the create; idle: from `ready`, since SSH is not seen
    has_availability: bool = True  # an older API has no such call
    has_standing: bool = True
    standing: str = "good"  # locked, unpaid, bad
    limit_has_body: bool = True  # of a 429
    most_machines: int = 0  # of a team; 0: none
