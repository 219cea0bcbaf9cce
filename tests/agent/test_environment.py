from __future__ import annotations

from pathlib import Path

from orchestrator.agent.environment import (
    base_environment,
    installer_environment,
    machine_environment,
    program_environment,
    read_secrets,
)
from orchestrator.agent.runfile import parse_run_file
from tests.agent.run_files import run_file


def test_the_saved_environment_of_the_machine_wins_over_the_sessions(tmp_path: Path) -> None:
    (tmp_path / "machine.env").write_bytes(b"PATH=/opt/bin\0LINES=a\nb\0broken\0")

    merged = machine_environment(tmp_path, {"PATH": "/usr/bin", "HOME": "/root"})

    assert merged == {"PATH": "/opt/bin", "HOME": "/root", "LINES": "a\nb"}


def test_only_what_programs_need_is_passed_on() -> None:
    machine = {
        "PATH": "/bin",
        "HOME": "/root",
        "CUDA_VISIBLE_DEVICES": "0",
        "NCCL_SOCKET_IFNAME": "ens1",
        "TORCHINDUCTOR_CACHE_DIR": "cache/inductor",
        "TRITON_CACHE_DIR": "cache/triton",
        "https_proxy": "http://proxy",
        "RUNPOD_API_KEY": "rpa_1",
        "AWS_SECRET_ACCESS_KEY": "s",
        "JUPYTER_PASSWORD": "p",
        "PYTHONPATH": "/x",
    }

    assert set(base_environment(machine)) == {
        "PATH",
        "HOME",
        "CUDA_VISIBLE_DEVICES",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "NCCL_SOCKET_IFNAME",
        "https_proxy",
    }


def test_the_jobs_variables_cannot_hide_ours(tmp_path: Path) -> None:
    environment = {"GPULEASE_OUTPUT": "/elsewhere", "OMP_NUM_THREADS": "2", "PATH": "/mine"}
    run = parse_run_file(run_file(environment=environment))

    seen = program_environment(run, tmp_path, {"PATH": "/bin", "OMP_NUM_THREADS": "8"}, {})

    assert seen["GPULEASE_OUTPUT"] == str(tmp_path / "output")
    assert seen["OMP_NUM_THREADS"] == "2"
    assert seen["PATH"] == f"{tmp_path / 'venv' / 'bin'}:/mine"


def test_secrets_that_are_no_texts_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(
        '{"HF_TOKEN": "hf_1", "N": 3, "A=B": "x", "Z": "\\u0000"}'
    )

    assert read_secrets(tmp_path) == {"HF_TOKEN": "hf_1"}


def test_pips_settings_hold_for_uv(tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror/simple\nextra-index-url =\n  https://a\n  https://b\n"
        "[install]\nfind-links = /wheels /more\n"
    )
    base = {"HOME": str(tmp_path), "PIP_TRUSTED_HOST": "mirror", "PIP_CERT": "/ca.pem"}

    environment = installer_environment(base)

    assert environment["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    assert environment["UV_INDEX"] == "https://a https://b"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"
    assert environment["UV_INSECURE_HOST"] == "mirror"
    assert environment["SSL_CERT_FILE"] == "/ca.pem"


def test_uvs_own_settings_are_left_alone(tmp_path: Path) -> None:
    base = {"HOME": str(tmp_path), "UV_DEFAULT_INDEX": "https://uv", "PIP_INDEX_URL": "https://pip"}

    assert installer_environment(base)["UV_DEFAULT_INDEX"] == "https://uv"
    assert "UV_INDEX" not in installer_environment(base)
