from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agent.hub import DownloadFailed, Hub, HubFile, needed_files
from orchestrator.agent.runfile import Model
from tests.agent.loopback_hub import ID, REVISION, Faults, LoopbackHub

WEIGHTS = bytes(range(256)) * 40


def download(hub: LoopbackHub, folder: Path, token: str | None = None) -> int:
    """Fetch the hub's model without ever waiting."""
    model = Model(ID, REVISION, hub.endpoint)
    return Hub(hub.endpoint, token, lambda _: False).download(model, folder)


def needed(*paths: str) -> list[str]:
    """What of a repository is downloaded."""
    return [file.path for file in needed_files([HubFile(path) for path in paths])]


@pytest.mark.parametrize("says_hashes", [True, False])
def test_files_arrive_whole_in_their_folders(tmp_path: Path, says_hashes: bool) -> None:
    files = {"config.json": b"{}", "1_Pooling/config.json": b"[]", "model.safetensors": WEIGHTS}
    with LoopbackHub(files, says_hashes=says_hashes) as hub:
        size_bytes = download(hub, tmp_path)

    assert size_bytes == sum(len(data) for data in files.values())
    assert {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    } == files


@pytest.mark.parametrize("says_hashes", [True, False])
def test_a_cut_connection_goes_on_where_it_was_cut(tmp_path: Path, says_hashes: bool) -> None:
    faults = Faults(cut_after_bytes=3000, times=3)
    files = {"model.safetensors": WEIGHTS}
    with LoopbackHub(files, says_hashes=says_hashes, faults=faults) as hub:
        download(hub, tmp_path)

    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS
    ranges = [seen.headers.get("Range") for seen in hub.seen if seen.server == "cdn"]
    assert ranges == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]


@pytest.mark.parametrize("data", [WEIGHTS, b"small"], ids=["sha256", "git sha1"])
def test_wrong_content_is_fetched_again(tmp_path: Path, data: bytes) -> None:
    with LoopbackHub({"model.safetensors": data}, faults=Faults(corrupt=True)) as hub:
        download(hub, tmp_path)

    assert (tmp_path / "model.safetensors").read_bytes() == data


def test_content_that_stays_wrong_is_never_used(tmp_path: Path) -> None:
    faults = Faults(corrupt=True, times=100)
    with (
        LoopbackHub({"model.safetensors": WEIGHTS}, faults=faults) as hub,
        pytest.raises(DownloadFailed, match=r"model.safetensors: .* does not match"),
    ):
        download(hub, tmp_path)

    assert not (tmp_path / "model.safetensors").exists()


def test_a_busy_hub_is_asked_again(tmp_path: Path) -> None:
    with LoopbackHub({"config.json": b"{}"}, faults=Faults(unavailable=True, times=2)) as hub:
        download(hub, tmp_path)

    assert (tmp_path / "config.json").read_bytes() == b"{}"


def test_the_token_is_shown_to_the_hub_and_to_nobody_else(tmp_path: Path) -> None:
    with LoopbackHub({"config.json": b"{}", "model.safetensors": WEIGHTS}) as hub:
        download(hub, tmp_path, token="hf_secret")

    assert {seen.server for seen in hub.seen} == {"hub", "cdn"}
    for seen in hub.seen:
        expected = "Bearer hf_secret" if seen.server == "hub" else None
        assert seen.headers.get("Authorization") == expected


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_what_is_missing_at_once(tmp_path: Path, status: int) -> None:
    with (
        LoopbackHub({"config.json": b"{}"}, status=status) as hub,
        pytest.raises(DownloadFailed, match=r"HF_TOKEN"),
    ):
        download(hub, tmp_path)

    assert len(hub.seen) == 1


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\\b", "a\nb", ""])
def test_a_file_outside_of_the_model_is_refused(tmp_path: Path, name: str) -> None:
    with (
        LoopbackHub({name: b"x"}) as hub,
        pytest.raises(DownloadFailed, match=r"outside of the model|impossible file"),
    ):
        download(hub, tmp_path / "model")

    assert not list(tmp_path.rglob("*outside*"))


def test_a_wish_to_end_leaves_a_download_without_an_error(tmp_path: Path) -> None:
    with LoopbackHub({"config.json": b"{}"}) as hub:
        model = Model(ID, REVISION, hub.endpoint)
        Hub(hub.endpoint, None, lambda _: True).download(model, tmp_path)

    assert not (tmp_path / "config.json").exists()


def test_a_model_larger_than_the_disk_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    class Huge(LoopbackHub):
        def listing(self) -> bytes:
            return b'{"siblings": [{"rfilename": "model.safetensors", "size": 1000000000000000}]}'

    with Huge({}) as hub, pytest.raises(DownloadFailed, match="No space left on device"):
        download(hub, tmp_path)


def test_of_equal_weights_only_safetensors_are_fetched() -> None:
    assert needed(
        ".gitattributes",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "rust_model.ot",
        "onnx/model.onnx",
        "openvino/openvino_model.bin",
        "vocab.txt",
    ) == ["config.json", "model.safetensors", "vocab.txt"]


def test_weights_that_a_folder_has_only_as_pickle_are_fetched() -> None:
    assert needed("model.safetensors", "2_Dense/pytorch_model.bin") == [
        "model.safetensors",
        "2_Dense/pytorch_model.bin",
    ]
    assert needed("pytorch_model.bin", "tf_model.h5") == ["pytorch_model.bin"]


def test_a_second_copy_in_one_piece_is_left_out() -> None:
    assert needed("model-00001-of-00002.safetensors", "consolidated.safetensors") == [
        "model-00001-of-00002.safetensors"
    ]


def test_a_repository_of_another_format_is_fetched_whole() -> None:
    assert needed("README.md", "model.Q4_K_M.gguf") == ["README.md", "model.Q4_K_M.gguf"]
