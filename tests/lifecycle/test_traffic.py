from __future__ import annotations

from pathlib import Path

from orchestrator.lifecycle.traffic import IMAGE_BYTES, planned
from tests.lifecycle.jobs import own_code


def test_everything_that_a_machine_gets_and_gives_is_planned_for(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    assert job.code is not None
    (job.code.path / "large.bin").write_bytes(b"x" * (1 << 20))

    traffic = planned(job, None, model_bytes=7 << 30, result_bytes=1 << 30)

    assert traffic.image_bytes == IMAGE_BYTES
    assert traffic.shipped_bytes >= 5 << 20
    assert traffic.receives_bytes >= 7 << 30
    assert traffic.sends_bytes == 2 << 30  # results and the checkpoints before them
