from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from orchestrator.agent import requirements
from orchestrator.agent.requirements import ingredients


def write(code: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    files = ["train.py", "wheels/mine-1.0-py3-none-any.whl", "pkg/pyproject.toml", "pkg/mine.py"]
    write(tmp_path / "code", dict.fromkeys(files, "x"))
    return tmp_path / "code"


def named_by(code: Path, text: str) -> set[str]:
    """Files that a text of requirements leads to, without the one that it stands in."""
    write(code, {"needs.txt": text})
    found = ingredients(code, code / "needs.txt")
    return {str(path.relative_to(code)) for path in found.files} - {"needs.txt"}


def test_a_line_of_an_index_leads_to_no_file(code: Path) -> None:
    lock = (
        "--index-url https://pypi.org/simple\n--no-binary :all:\n"
        "six[a,b]==1.17.0 ; python_version > '3' \\\n    --hash=sha256:00  # via -r ./train.py\n"
        "torch>=2\nmine @ https://example.org/mine.whl\nother @ git+https://example.org/x.git\n"
    )

    assert named_by(code, lock) == set()


@pytest.mark.parametrize(
    "line",
    [
        "./wheels/mine-1.0-py3-none-any.whl",
        "wheels/mine-1.0-py3-none-any.whl ; python_version > '3'",
        "mine @ file:wheels/mine-1.0-py3-none-any.whl",
        "mine@ ./wheels/mine-1.0-py3-none-any.whl",
        "--find-links wheels\nmine==1.0",
        "-f ./wheels\nmine",
    ],
)
def test_a_wheel_of_the_code_is_part_of_the_environment_however_it_is_named(
    code: Path, line: str
) -> None:
    assert named_by(code, f"six\n{line}\n") == {"wheels/mine-1.0-py3-none-any.whl"}


def test_a_folder_of_the_code_is_part_of_it_with_all_its_files(code: Path) -> None:
    assert named_by(code, "./pkg\n") == {"pkg/pyproject.toml", "pkg/mine.py"}
    assert ingredients(code, code / "needs.txt").has_folders


def test_further_requirements_are_followed_from_where_they_are_named_even_in_a_circle(
    code: Path,
) -> None:
    write(code, {"locks/base.txt": "-r ../needs.txt\n-c pins.txt\n", "locks/pins.txt": "six==1\n"})

    assert named_by(code, "-r locks/base.txt\n") == {"locks/base.txt", "locks/pins.txt"}


def test_what_is_not_understood_may_be_any_file(code: Path) -> None:
    assert "train.py" in named_by(code, "${WHERE}/mine.whl\n")


def test_what_lies_outside_of_the_code_is_the_machines_own(code: Path) -> None:
    write(code.parent, {"else/mine-1.0-py3-none-any.whl": "x", "else/more.txt": "six"})

    outside = f"--find-links {code.parent}/else\n-r ../else/more.txt\n../else\nmine\n"

    assert named_by(code, outside) == set()


def test_a_project_file_stands_for_itself_unless_it_leads_to_folders(code: Path) -> None:
    write(code, {"pyproject.toml": '[project]\ndependencies = ["six"]\n'})
    assert ingredients(code, code / "pyproject.toml").files == {code / "pyproject.toml"}

    write(code, {"pyproject.toml": '[tool.uv.sources]\nmine = {path = "pkg"}\n'})
    assert code / "pkg/mine.py" in ingredients(code, code / "pyproject.toml").files


def test_the_digest_follows_names_and_contents(code: Path) -> None:
    def digest() -> str:
        named_by(code, "./pkg")
        return ingredients(code, code / "needs.txt").digest()

    first = digest()
    assert digest() == first
    write(code, {"train.py": "edited"})
    assert digest() == first
    write(code, {"pkg/mine.py": "edited"})
    assert digest() != first


def test_an_editable_folder_is_told(code: Path) -> None:
    write(code, {"needs.txt": "-e ./pkg\n"})

    assert ingredients(code, code / "needs.txt").is_editable


def test_the_examples_hold() -> None:
    assert doctest.testmod(requirements).failed == 0
