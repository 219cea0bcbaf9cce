from __future__ import annotations

import json
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import HomeError
from orchestrator.store.home import computer_id, open_home


def test_a_home_is_made_once_and_keeps_its_id(tmp_path: Path) -> None:
    first = open_home(tmp_path / "home")

    assert re.fullmatch(r"[a-z0-9]{6}", first.id)
    assert open_home(tmp_path / "home") == first
    assert [path.name for path in first.folder.iterdir()] == ["home.json"]


def test_a_home_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = open_home(tmp_path / "deep" / "home")

    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_two_that_make_one_home_at_once_get_one_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        homes = list(threads.map(lambda _: open_home(tmp_path / "home").id, range(8)))

    assert len(set(homes)) == 1


def test_a_home_copied_to_another_computer_is_read_only(tmp_path: Path) -> None:
    first = open_home(tmp_path, computer="desktop")

    copied = open_home(tmp_path, computer="laptop")

    first.check_writable()
    assert (copied.id, copied.is_copy) == (first.id, True)
    with pytest.raises(HomeError, match="read only here"):
        copied.check_writable()


def test_a_home_copied_beside_the_first_is_read_only(tmp_path: Path) -> None:
    first = open_home(tmp_path / "home")

    shutil.copytree(first.folder, tmp_path / "copy")
    copied = open_home(tmp_path / "copy")

    open_home(tmp_path / "home").check_writable()
    assert (copied.id, copied.is_copy) == (first.id, True)
    with pytest.raises(HomeError, match=f"belongs to {first.folder}: it is read only here"):
        copied.check_writable()


def test_a_home_that_was_moved_or_restored_is_the_same_home(tmp_path: Path) -> None:
    first = open_home(tmp_path / "home")
    shutil.copytree(first.folder, tmp_path / "backup")

    first.folder.rename(tmp_path / "moved")
    moved = open_home(tmp_path / "moved")
    moved.check_writable()
    shutil.copytree(tmp_path / "backup", tmp_path / "home")
    restored = open_home(tmp_path / "home")
    restored.check_writable()

    assert first.id == moved.id == restored.id
    assert open_home(tmp_path / "moved").is_copy


def test_a_home_is_the_same_by_whatever_path_it_is_reached(tmp_path: Path) -> None:
    open_home(tmp_path / "home")
    (tmp_path / "link").symlink_to("home")

    open_home(tmp_path / "link").check_writable()


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"id": "abc123"}', "{half"])
def test_a_damaged_home_is_refused_and_not_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "home.json").write_text(text)

    with pytest.raises(HomeError, match="cannot be used"):
        open_home(tmp_path)
    assert (tmp_path / "home.json").read_text() == text


def test_a_file_in_the_place_of_the_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")

    with pytest.raises(HomeError, match="cannot be used"):
        open_home(tmp_path / "home")


def test_the_computers_own_id_is_not_in_the_home(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    record = json.loads((home.folder / "home.json").read_text())
    machine_id = Path("/etc/machine-id")

    assert record == {"id": home.id, "computer": computer_id(), "folder": str(home.folder)}
    assert re.fullmatch(r"[0-9a-f]{16}", computer_id())
    if machine_id.is_file() and (own := machine_id.read_text().strip()):
        assert own not in (home.folder / "home.json").read_text()
