from __future__ import annotations

import os

from infra.demo import bare_environment, read_exports


def test_the_demo_cannot_reach_a_real_account() -> None:
    mine = {
        "PATH": os.defpath,
        "RUNPOD_API_KEY": "real",
        "HF_TOKEN": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_ACCESS_KEY_ID": "real",
        "GPULEASE_HOME": "/mine",
        "GPULEASE_RUNPOD_URL": "https://real",
    }

    assert set(bare_environment(mine)) == {"PATH", "PYTHON_KEYRING_BACKEND"}


def test_the_clouds_file_of_exports_is_read_as_a_shell_would() -> None:
    text = "# made by simcloud\nexport A='it'\\''s here'\nexport B=http://127.0.0.1:1/v1\n"

    assert read_exports(text) == {"A": "it's here", "B": "http://127.0.0.1:1/v1"}
