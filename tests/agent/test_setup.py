from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.agent.setup import UV_VERSION, install_attempts, installer_words
from tests.agent.work_folder import WorkFolder


def test_a_lock_without_a_build_of_torch_is_installed_once() -> None:
    assert install_attempts("torch==2.9.0 --hash=sha256:00\nsix==1.17.0") == [[]]


def test_a_build_of_torch_is_looked_for_on_pytorchs_index_the_second_time() -> None:
    first, second = install_attempts("six==1.17.0\ntorch==2.13.0+cpu\n")

    assert first == []
    assert second[:2] == ["--index", "https://download.pytorch.org/whl/cpu"]


def test_each_cuda_build_has_an_index_of_its_own() -> None:
    _, second = install_attempts("torch==2.9.0+cu126\nxformers==0.0.32+cu128")

    assert [word for word in second if word.startswith("https")] == [
        "https://download.pytorch.org/whl/cu126",
        "https://download.pytorch.org/whl/cu128",
    ]


def test_what_uv_says_of_an_error_is_one_paragraph() -> None:
    old = (
        "Using Python 3.11.2 environment at: venv\n"
        "  × No solution found when resolving dependencies:\n"
        "  ╰─▶ Because there is no version of six==99.99, we can conclude that your\n"
        "      requirements are unsatisfiable.\n"
    )
    new = "error: Couldn't parse requirement\n  cause: Expected one of `@`\n         a b\n"

    assert installer_words(old) == (
        "No solution found when resolving dependencies: Because there is no version of six==99.99,"
        " we can conclude that your requirements are unsatisfiable."
    )
    assert installer_words(new) == "Couldn't parse requirement: Expected one of `@` a b"
    assert installer_words("one\ntwo\n") == "one two"
    assert len(installer_words("error: " + "x" * 9000)) == 600


def test_a_newer_python_is_taken_where_the_wanted_one_is_missing(work: WorkFolder) -> None:
    (work.path / "code" / "requirements.txt").write_text("")
    command = ["python", "-c", "import sys; print(sys.version_info >= (3, 8), sys.prefix)"]
    work.write_run(command, requirements="requirements.txt", python="3.8")

    work.run()

    assert f"True {work.path / 'venv'}" in work.log()


def test_a_machine_without_uv_gets_it_by_pip(work: WorkFolder, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python3"
    python.symlink_to(Path(sys.executable).resolve())
    (work.path / "code" / "requirements.txt").write_text("six==1.17.0\n")
    work.write_run("python -c 'import six; print(six.__name__)'", requirements="requirements.txt")
    work.environment["PATH"] = f"{programs}:/usr/bin:/bin"
    work.python = str(python)

    work.run()

    assert f"installing uv {UV_VERSION}" in work.log()
    assert (work.path / ".uv" / "bin" / "uv").exists()
    assert "six\n" in work.log()


def test_pip_is_there_for_own_code_that_calls_it(work: WorkFolder) -> None:
    (work.path / "code" / "requirements.txt").write_text("")
    work.write_run("command -v pip", requirements="requirements.txt")

    work.run()

    assert f"{work.path}/venv/bin/pip" in work.log()


def test_python_has_its_short_name_where_the_image_has_only_the_long_one(
    work: WorkFolder, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "echo"):
        (programs / name).symlink_to(f"/bin/{name}")
    (programs / "python3").symlink_to(Path(sys.executable).resolve())
    work.write_run(["python", "-c", "print('here')"])
    work.environment["PATH"] = str(programs)

    work.run()

    assert "here" in work.log()


def test_requirements_are_only_tried_for_another_platform(work: WorkFolder) -> None:
    (work.path / "code" / "requirements.txt").write_text("six==1.17.0\npywin32; os_name == 'nt'\n")
    work.write_run(
        ["python", "-c", "import importlib.util as u; print(u.find_spec('six'))"],
        requirements="requirements.txt",
        try_for="x86_64-manylinux_2_28",
    )

    work.run()

    assert "Would install 1 package\n + six==1.17.0\nNone\n" in work.log()


def test_an_environment_that_was_made_before_is_left_as_it_is(
    work: WorkFolder, tmp_path: Path
) -> None:
    machines_own = tmp_path / "python3.11"
    machines_own.write_text("#!/bin/sh\necho kept\n")
    machines_own.chmod(0o700)
    (work.path / "venv/bin").mkdir(parents=True)
    (work.path / "venv/bin/python").symlink_to(machines_own)
    work.environment["PATH"] = "/usr/bin:/bin"
    work.write_run(["python"])

    work.run()

    assert "kept\n" in work.log()
    assert machines_own.read_text().endswith("echo kept\n")
