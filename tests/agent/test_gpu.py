from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.work_folder import WorkFolder

TORCH = """
class cuda:
    @staticmethod
    def is_available():
        return {available}
class zeros:
    def __init__(self, *_, **__): pass
    def item(self): return 0
"""


@pytest.fixture
def cuda_job(work: WorkFolder, tmp_path: Path) -> WorkFolder:
    """A job for a GPU on a machine whose nvidia-smi shows one."""
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(
        '#!/bin/sh\n[ "$1" = -L ] && echo "GPU 0: NVIDIA L4" && exit 0\necho "37, 1024"\n'
    )
    smi.chmod(0o700)
    work.environment["PATH"] = f"{smi.parent}:{work.environment['PATH']}"
    (work.path / "code" / "requirements.txt").write_text("")
    return work


def write_job(work: WorkFolder, torch: str | None) -> None:
    """A job whose set-up puts a stand-in for torch into its environment."""
    setup = None
    if torch is not None:
        (work.path / "code" / "torch.py").write_text(torch)
        setup = "cp torch.py ../venv/lib/python3*/site-packages/"
    work.write_run(
        "echo the program ran", device="cuda", requirements="requirements.txt", setup=setup
    )


def test_without_torch_nvidia_smi_is_asked(cuda_job: WorkFolder) -> None:
    write_job(cuda_job, None)

    assert cuda_job.run()["why"] == "finished"


def test_torch_has_the_last_word(cuda_job: WorkFolder) -> None:
    write_job(cuda_job, TORCH.format(available=False))

    record = cuda_job.run()

    assert (record["why"], record["message"]) == ("no_gpu", "torch sees no GPU on this machine")
    assert "the program ran" not in cuda_job.log()


def test_a_gpu_that_torch_sees_lets_the_program_run(cuda_job: WorkFolder) -> None:
    write_job(cuda_job, TORCH.format(available=True))

    assert cuda_job.run()["why"] == "finished"


def test_a_torch_that_does_not_import_is_a_failed_set_up(cuda_job: WorkFolder) -> None:
    write_job(cuda_job, "raise ImportError('libcudart.so.12 is missing')")

    record = cuda_job.run()

    assert record["why"] == "setup"
    assert "libcudart.so.12 is missing" in str(record["message"])


def test_samples_hold_what_each_gpu_does(cuda_job: WorkFolder) -> None:
    write_job(cuda_job, None)
    cuda_job.run()

    assert cuda_job.wait_for("host")["gpus"] == [{"util": 37.0, "memory_used_bytes": 1 << 30}]
