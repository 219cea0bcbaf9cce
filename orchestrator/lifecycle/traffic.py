"""Bytes that one machine of a job is expected to receive and to send, planned against us."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from orchestrator.budget.traffic import Traffic
from orchestrator.lifecycle.sending import parts_of
from orchestrator.sizing.fit import ENVIRONMENT_DOWNLOAD_BYTES, Footprint
from orchestrator.spec.job import Job

IMAGE_BYTES = 25 << 30  # unpacked: what is pulled is less
_PROGRAM_BYTES = 4 << 20  # agent and program


def planned(
    job: Job,
    need: Footprint | None,
    *,
    model_bytes: int,
    result_bytes: int,
    private: Iterable[Path] = (),
) -> Traffic:
    """What is reserved for traffic, where a provider charges it.

    Checkpoints come home as they are made: all that is expected back is planned for twice.

    Args:
        need: None for one's own code, of which the environment is a guess.
        model_bytes: that the machine fetches from the hub.
        private: files and folders of ours, which are not sent.
    """
    installs = need is not None or (job.code is not None and job.code.requirements is not None)
    return Traffic(
        image_bytes=IMAGE_BYTES,
        shipped_bytes=_PROGRAM_BYTES + sum(part.size_bytes for part in parts_of(job, private)),
        receives_bytes=model_bytes + (int(ENVIRONMENT_DOWNLOAD_BYTES) if installs else 0),
        sends_bytes=2 * result_bytes,
    )
