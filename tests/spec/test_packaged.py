from __future__ import annotations

import pytest

from orchestrator.spec.packaged import packaged


@pytest.mark.parametrize("name", ["jobs", "templates"])
def test_the_shipped_folders_are_found(name: str) -> None:
    folder = packaged(name)

    assert folder.name == name
    assert any(folder.iterdir())


def test_a_folder_that_is_not_shipped_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no recipes/"):
        packaged("recipes")
