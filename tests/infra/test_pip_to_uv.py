from __future__ import annotations

from pathlib import Path

from infra.pip_to_uv import to_uv, uv_environment


def test_pips_environment_wins_over_its_files() -> None:
    listed = ":env:.find-links='/from/environment'\nglobal.find-links='/from/file'\n"

    assert to_uv(listed) == {"UV_FIND_LINKS": "/from/environment"}


def test_settings_of_install_win_over_global_ones() -> None:
    listed = "global.index-url='https://a/simple'\ninstall.index-url='https://b/simple'\n"

    assert to_uv(listed) == {"UV_DEFAULT_INDEX": "https://b/simple"}


def test_several_indexes_are_all_looked_at_as_pip_does() -> None:
    listed = "global.extra-index-url='https://a/simple https://b/simple'\n"

    assert to_uv(listed) == {
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_is_not_about_packages_is_left_out() -> None:
    assert to_uv("global.timeout='180'\nglobal.user='true'\nfreeze.find-links='/x'\n") == {}


def test_pips_real_settings_are_read_and_uvs_own_are_left_alone(tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nfind-links = /some/wheels\nindex-url = https://a/simple\n")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": str(settings),
        "UV_DEFAULT_INDEX": "https://mine/simple",
    }

    found = uv_environment(environment)

    assert found["UV_FIND_LINKS"] == "/some/wheels"
    assert "UV_DEFAULT_INDEX" not in found
