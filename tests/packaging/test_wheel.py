"""An installed gpulease works outside the checkout."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from orchestrator import __version__
from tests.conventions.source import PROJECT, tracked


def run(program: Path, *arguments: str, cwd: Path) -> str:
    result = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "GPULEASE_HOME": str(cwd / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_the_package_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {
        "orchestrator",
        f"gpulease-{__version__}.dist-info",
    }
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    for folder in ("jobs", "templates"):
        ours = {
            path.relative_to(PROJECT).as_posix()
            for path in tracked()
            if path.is_relative_to(PROJECT / folder)
        }
        assert ours == {
            name.removeprefix("orchestrator/_data/")
            for name in names
            if name.startswith(f"orchestrator/_data/{folder}/")
        }


def test_the_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    version = run(installed / "gpulease", "--version", cwd=tmp_path)
    page = run(installed / "gpulease", "--help", cwd=tmp_path)

    assert version.split() == ["gpulease", __version__]
    assert "submit" in page


def test_the_installed_command_writes_a_starter_job(installed: Path, tmp_path: Path) -> None:
    run(installed / "gpulease", "init", cwd=tmp_path)

    (job,) = tmp_path.glob("*.yaml")
    assert "kind: finetune" in job.read_text()


def test_jobs_and_templates_are_found_in_the_installation(installed: Path, tmp_path: Path) -> None:
    code = "from orchestrator.spec.packaged import packaged; print(packaged('{}'))"

    for folder in ("jobs", "templates"):
        place = Path(run(installed / "python", "-c", code.format(folder), cwd=tmp_path).strip())
        assert place.is_relative_to(installed.parent)
        assert any(place.iterdir())


def test_no_module_of_the_installation_needs_a_development_tool(
    installed: Path, tmp_path: Path
) -> None:
    code = """
import pkgutil, importlib, orchestrator
for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
    if "._data" not in module.name and ".migrations" not in module.name:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""

    run(installed / "python", "-c", code, cwd=tmp_path)
