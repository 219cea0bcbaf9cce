from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.app.refusals import artifact_sentences
from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.lifecycle.plan import Plan, make_plan
from orchestrator.settings import load_settings
from orchestrator.sizing.fit import Footprint
from orchestrator.wiring import Parts
from tests.lifecycle.clouds import FREE, GUARDED
from tests.lifecycle.jobs import material, own_code
from tests.runs.samples import NOW_S, offer

WORK = Footprint(
    parts=(),
    gpu_memory_gib=10.0,
    disk_gib=15,
    download_bytes=1 << 30,
    result_bytes=1 << 28,
    checkpoint_bytes=1 << 28,
    training_flops=1e18,
    steps=1000,
)


def test_a_secret_without_a_value_is_refused_before_anything_is_rented(
    app: App, tmp_path: Path
) -> None:
    job = own_code(tmp_path, "providers: [local]\nsecrets: [WANDB_API_KEY]\n")

    with pytest.raises(MissingCredentials, match="WANDB_API_KEY") as caught:
        app.plan(job)

    assert caught.value.hint == "gpulease login WANDB_API_KEY, or set it in the environment"


def planned(folder: Path, result_bytes: int, *, sized: bool = True) -> Plan:
    made = material(own_code(folder))
    launch = replace(made.launch, result_bytes=result_bytes)
    made = replace(made, launch=launch, footprint=WORK if sized else None)
    capabilities = {"runpod": GUARDED, "local": FREE}
    return make_plan(made, [offer()], capabilities, now_s=NOW_S, failures=[])


def test_results_that_are_larger_than_home_are_refused_by_the_plan(
    home: Path, tmp_path: Path
) -> None:
    parts = Parts(load_settings(home, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))

    with pytest.raises(
        UsageError, match=r"about 1073741824\.0 GiB of results do not fit"
    ) as caught:
        artifact_sentences(parts, planned(tmp_path, 1 << 60))
    assert str(home) in caught.value.problem
    assert caught.value.hint == "make room, or set GPULEASE_HOME to a larger disk"

    assert "about 256 MiB expected" in artifact_sentences(parts, planned(tmp_path, 1 << 28))[0]


def test_what_nobody_can_size_is_not_compared(home: Path, tmp_path: Path) -> None:
    parts = Parts(load_settings(home, {"XDG_CONFIG_HOME": str(tmp_path / "config")}))

    told = artifact_sentences(parts, planned(tmp_path, 1 << 60, sized=False))

    assert "an unknown size expected" in told[0]
