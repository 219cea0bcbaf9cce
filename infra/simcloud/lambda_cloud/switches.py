"""Behaviours of Lambda's API that its documents leave open, or that differ between versions."""

from __future__ import annotations

from dataclasses import dataclass

from infra.simcloud.switches import Switches as Base


@dataclass(slots=True)
class Switches(Base):
    """The defaults are what was seen last."""

    calls_per_s: float = 0.0  # 1 is documented; 0: not counted
    launch_every_s: float = 0.0  # 12 is documented; 0: not counted
    limit_has_body: bool = True  # of a 429
    missing_status: int = 404  # of a launch that names what is not there: 404 or 400
    hides_capacity: bool = False  # a launch works all the same
    shows_page_token: bool = True  # null, as later descriptions have it
    page_size: int = 0  # of instances, and of SSH keys; 0: all at once
    shows_later_fields: bool = False  # architecture, first_healthy
    terminating_s: float = 20.0
    after_end: str = "by_id"  # a terminated one is: listed | by_id | unknown
    terminate_again: str = "200"  # or 404
    bills_from_launch: bool = False  # else from the first health check on
    ip_share: float = 0.7  # of the boot, until the address is shown
    has_private_ip: bool = True
    cloud_init_s: float = 0.3  # sshd is up → it takes the host key of user_data
    most_instances: int = 0  # quota; 0: none
