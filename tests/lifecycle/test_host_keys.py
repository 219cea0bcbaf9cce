from __future__ import annotations

from pathlib import Path

from orchestrator.lifecycle.host_keys import given_host_key, new_host_key
from orchestrator.remote.keys import is_same_key


def test_a_machine_is_known_by_the_key_that_it_was_given(tmp_path: Path) -> None:
    private, public = new_host_key(tmp_path, "label-1")

    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert is_same_key(given_host_key(tmp_path, "label-1"), public)
    assert new_host_key(tmp_path, "label-1") == (private, public)


def test_each_label_has_a_key_of_its_own_and_one_that_was_not_made_is_not_made_up(
    tmp_path: Path,
) -> None:
    new_host_key(tmp_path, "label-1")
    new_host_key(tmp_path, "label-2")

    assert given_host_key(tmp_path, "label-1") != given_host_key(tmp_path, "label-2")
    assert given_host_key(tmp_path, "label-3") == ""
    assert not (tmp_path / "keys/label-3").exists()
