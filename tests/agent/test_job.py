from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from tests.agent.loopback_hub import LoopbackHub
from tests.agent.work_folder import WorkFolder, runs


@pytest.fixture
def small_disk(work: WorkFolder, tmp_path: Path) -> Iterator[WorkFolder]:
    """The same folder on a disk of 4 MiB."""
    agent = (work.path / protocol.AGENT).read_bytes()
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    folder = WorkFolder(disk / "machine", agent)
    folder.clock = work.clock
    try:
        yield folder
    finally:
        folder.call("kill")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_own_code_runs_with_its_requirements_and_gives_everything_back(work: WorkFolder) -> None:
    (work.path / "code" / "requirements.txt").write_text("six==1.17.0\n")
    work.write_program(
        "import json, os, pathlib, six\n"
        "out = pathlib.Path(os.environ['GPULEASE_OUTPUT'])\n"
        "(out / 'model').mkdir()\n"
        "(out / 'model' / 'weights').write_bytes(b'w' * 3000000)\n"
        "(out / 'notes.txt').write_text('done')\n"
        "pathlib.Path(os.environ['GPULEASE_METRICS']).write_text(json.dumps({'accuracy': 1}))\n"
        "print('six', six.__version__, os.environ['COLOUR'])\n",
        requirements="requirements.txt",
        environment={"COLOUR": "green"},
    )

    record = work.run()

    assert record["why"] == "finished"
    assert record["exit_code"] == 0
    assert "six 1.17.0 green" in work.log()
    manifest = work.manifest()
    assert {path: file["kind"] for path, file in manifest.items()} == {
        "exit.json": "exit",
        "metrics.json": "metrics",
        "log.txt": "logs",
        "output/model/weights": "model",
        "output/notes.txt": "rest",
    }
    assert list(manifest) == [
        "exit.json",
        "metrics.json",
        "log.txt",
        "output/model/weights",
        "output/notes.txt",
    ]
    for path, file in manifest.items():
        data = (work.path / path).read_bytes()
        assert file["size_bytes"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_phases_are_told_in_order_with_their_seconds(work: WorkFolder) -> None:
    work.write_run("true")

    work.run()

    told = [(event["phase"], event["state"]) for event in work.events("phase")]
    assert told == [
        (phase, state) for phase in ("setup", "program", "flush") for state in ("started", "ended")
    ]
    assert all("seconds" in event for event in work.events("phase") if event["state"] == "ended")


def test_an_exit_code_and_the_last_words_are_in_the_exit_record(work: WorkFolder) -> None:
    work.write_program("import sys\nprint('the data is empty', file=sys.stderr)\nsys.exit(3)\n")

    record = work.run()

    assert (record["why"], record["phase"], record["exit_code"]) == ("finished", "program", 3)
    assert record["message"] == "the data is empty"
    assert record["out_of_memory"] is record["disk_full"] is False
    assert work.events("exited")[0]["exit_code"] == 3


def test_a_program_knows_what_its_machine_costs_and_has_cost(work: WorkFolder) -> None:
    work.write_program(
        "import os\n"
        "print(*(os.environ[f'GPULEASE_{name}'] for name in ('USD_PER_HOUR', 'SPENT_USD')))\n",
        created_at=work.started_s - 1800,
        cost={"usd_per_hour": 0.6, "before_usd": 0.12},
    )

    work.run()

    rate, spent = work.log().split()[-2:]
    assert rate == "0.6"
    assert 0.42 <= float(spent) < 0.43


def test_a_program_killed_by_a_signal_is_told_as_such(work: WorkFolder) -> None:
    work.write_program("import os\nos.kill(os.getpid(), 11)\n")

    record = work.run()

    assert (record["exit_code"], record["signal"]) == (None, 11)
    assert str(record["message"]).startswith("killed by SIGSEGV")


def test_a_command_that_is_not_there_ends_like_in_a_shell(work: WorkFolder) -> None:
    work.write_run(["no-such-program"])

    record = work.run()

    assert (record["why"], record["exit_code"]) == ("finished", 127)
    assert "no-such-program: No such file" in work.log()


def test_running_out_of_gpu_memory_is_recognised(work: WorkFolder) -> None:
    work.write_run("echo 'torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB' >&2; exit 1")

    assert work.run()["out_of_memory"] is True


def test_requirements_that_do_not_install_end_the_job_before_the_program(
    work: WorkFolder,
) -> None:
    (work.path / "code" / "requirements.txt").write_text("six==99.99\n")
    work.write_run("echo the program ran", requirements="requirements.txt")

    record = work.run()

    assert (record["why"], record["phase"], record["exit_code"]) == ("setup", "setup", None)
    assert re.search(r"requirements.txt could not be installed: .*six==99.99", str(record))
    assert "the program ran" not in work.log()
    assert "log.txt" in work.manifest()


def test_the_setup_command_runs_in_the_programs_environment(work: WorkFolder) -> None:
    work.write_run("cat made", setup="echo $GPULEASE_RUN $MINE > made", environment={"MINE": "x"})

    work.run()

    assert "runid123 x" in work.log()


def test_a_failing_setup_command_is_a_setup_failure(work: WorkFolder) -> None:
    work.write_run("true", setup="echo no compiler; exit 9")

    record = work.run()

    assert record["why"] == "setup"
    assert record["message"] == "the setup command ended with exit code 9: no compiler"


def test_a_cuda_job_without_a_gpu_never_runs(work: WorkFolder) -> None:
    (work.path / "code" / "requirements.txt").write_text("")
    work.write_run("echo the program ran", device="cuda", requirements="requirements.txt")
    broken = work.home / "bin" / "nvidia-smi"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o700)
    work.environment["PATH"] = f"{broken.parent}:{work.environment['PATH']}"

    record = work.run()

    assert (record["why"], record["phase"]) == ("no_gpu", "setup")
    assert "the program ran" not in work.log()


def test_the_program_sees_secrets_but_not_the_machines_own_key(work: WorkFolder) -> None:
    (work.path / "secrets.json").write_text(json.dumps({"WANDB_API_KEY": "s1"}))
    (work.path / "machine.env").write_bytes(
        b"RUNPOD_API_KEY=rpa_1\0CUDA_VERSION=12.8\0PATH=/machine/bin:/usr/bin:/bin\0"
    )
    work.write_run('echo "$WANDB_API_KEY/$RUNPOD_API_KEY/$CUDA_VERSION/$PATH"')

    work.run()

    assert f"s1//12.8/{work.path}/venv/bin:/machine/bin:/usr/bin:/bin" in work.log()


def test_one_huge_line_breaks_neither_memory_nor_the_logs_limit(work: WorkFolder) -> None:
    work.write_program(
        "import sys\nfor _ in range(256):\n    sys.stdout.write('x' * (1 << 20))\n",
        log_limit_bytes=100_000,
    )

    assert work.run()["exit_code"] == 0

    assert 100_000 < (work.path / "log.txt").stat().st_size < 100_200
    assert work.log().count("the rest is dropped") == 1
    assert len(work.events("message")) == 1
    status = Path(f"/proc/{work.agent_pid()}/status").read_text()
    peak_kib = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak_kib is not None
    assert int(peak_kib[1]) < 100 << 10


def test_links_and_pipes_in_the_output_are_not_collected(work: WorkFolder) -> None:
    work.write_run(
        'cd "$GPULEASE_OUTPUT"; ln -s /etc/passwd stolen; ln -s /etc etc; mkfifo pipe; echo x > ok'
    )

    work.run()

    assert [path for path in work.manifest() if path.startswith("output")] == ["output/ok"]
    assert [str(event["text"]) for event in work.events("message")] == [
        "'output/etc' is a link and is not collected",
        "'output/pipe' is no file and is not collected",
        "'output/stolen' is a link and is not collected",
    ]


def test_processes_that_the_program_left_behind_do_not_outlive_it(work: WorkFolder) -> None:
    work.write_program(
        "import os, subprocess\n"
        "left = subprocess.Popen(['sleep', '600'], start_new_session=True, env={})\n"
        "print('left', left.pid, flush=True)\n"
    )

    work.run()

    left = re.search(r"left (\d+)", work.log())
    assert left is not None
    assert not runs(int(left[1]))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_still_leaves_an_exit_record_and_a_manifest(small_disk: WorkFolder) -> None:
    small_disk.write_program(
        "import os\n"
        "with open(os.environ['GPULEASE_OUTPUT'] + '/big', 'wb') as file:\n"
        "    while True:\n"
        "        file.write(b'x' * 65536)\n"
        "        file.flush()\n"
    )

    record = small_disk.run()

    assert (record["why"], record["exit_code"]) == ("finished", 1)
    assert record["disk_full"] is True
    assert "No space left on device" in str(record["message"])
    assert "output/big" in small_disk.manifest()


def test_the_model_is_downloaded_while_the_environment_is_made(work: WorkFolder) -> None:
    with LoopbackHub({"config.json": b"{}", "model.safetensors": b"w" * 5000}) as hub:
        work.write_run(
            'ls -l "$GPULEASE_MODEL"', model=hub.model(), setup=f"cat {work.path}/go", grace_s=1
        )
        os.mkfifo(work.path / "go")
        work.start()
        work.until(
            lambda: any(
                (event["phase"], event["state"]) == ("download", "ended")
                for event in work.events("phase")
            ),
            "the end of the download",
        )
        (work.path / "go").write_text("went\n")
        work.wait_for("ready")

    assert work.record("exit.json")["exit_code"] == 0
    assert re.search(r"5000 .* model.safetensors", work.log())
    ends = [event["phase"] for event in work.events("phase") if event["state"] == "ended"]
    assert ends == ["download", "setup", "program", "flush"]


def test_a_model_that_cannot_be_had_ends_the_set_up_too(work: WorkFolder) -> None:
    with LoopbackHub({"config.json": b"{}"}, status=404) as hub:
        work.write_run("true", model=hub.model(), setup="sleep 600")
        record = work.run()

    assert (record["why"], record["phase"]) == ("setup", "download")
    assert "404 RepoNotFound" in str(record["message"])
