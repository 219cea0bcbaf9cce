"""The real `huggingface_hub` client against the loopback hub."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from infra.simcloud.hub import TOKEN, HubServer, serve_hub
from infra.simcloud.hub_models import (
    GATED_ID,
    MINILM_ID,
    TINY_ID,
    HostedModel,
    minilm_folder,
    write_tiny_bert,
)

MINILM_PARAMETERS = 22_713_216


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    server = serve_hub()
    yield server
    server.close()


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def get(url: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_snapshot_download_gives_every_byte_of_minilm(hub: HubServer, tmp_path: Path) -> None:
    downloaded = snapshot_download(
        MINILM_ID, endpoint=hub.url, token=False, cache_dir=tmp_path, max_workers=2
    )

    source = minilm_folder()
    names = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    assert {p.relative_to(downloaded) for p in Path(downloaded).rglob("*") if p.is_file()} == names
    for name in names:
        assert (Path(downloaded) / name).read_bytes() == (source / name).read_bytes()
    assert Path(downloaded).name == hub.commit(MINILM_ID)


def test_one_file_is_downloaded_by_branch_or_commit(
    api: HfApi, hub: HubServer, tmp_path: Path
) -> None:
    for revision in ("main", hub.commit(MINILM_ID)):
        path = api.hf_hub_download(
            MINILM_ID, "1_Pooling/config.json", revision=revision, cache_dir=tmp_path / revision
        )
        assert json.loads(Path(path).read_text())["word_embedding_dimension"] == 384


def test_parameters_are_counted_without_sending_the_weights(api: HfApi, hub: HubServer) -> None:
    before = len(hub.requests)
    metadata = api.get_safetensors_metadata(MINILM_ID)

    assert metadata.parameter_count["F32"] == MINILM_PARAMETERS
    assert sum(request.body_bytes for request in hub.requests[before:]) < 200_000


def test_model_info_carries_commit_files_and_sizes(api: HfApi, hub: HubServer) -> None:
    info = api.model_info(MINILM_ID, files_metadata=True)

    assert info.sha == hub.commit(MINILM_ID)
    by_name = {sibling.rfilename: sibling for sibling in info.siblings or []}
    weights = by_name["model.safetensors"]
    assert weights.size == 90_868_376
    assert weights.lfs is not None and weights.lfs.size == weights.size
    assert by_name["config.json"].lfs is None


def test_tree_lists_one_level_or_all_of_it(api: HfApi) -> None:
    top = {entry.path: entry for entry in api.list_repo_tree(MINILM_ID)}
    whole = {entry.path for entry in api.list_repo_tree(MINILM_ID, recursive=True)}
    below = [entry.path for entry in api.list_repo_tree(MINILM_ID, "1_Pooling")]

    assert isinstance(top["1_Pooling"], RepoFolder)
    assert isinstance(top["config.json"], RepoFile)
    assert "1_Pooling/config.json" not in top and "1_Pooling/config.json" in whole
    assert below == ["1_Pooling/config.json"]


def test_hashes_are_those_of_git_and_lfs(api: HfApi, tmp_path: Path) -> None:
    entries = api.get_paths_info(TINY_ID, ["config.json", "model.safetensors", "absent"])
    by_name = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    write_tiny_bert(tmp_path)
    config = (tmp_path / "config.json").read_bytes()

    assert by_name.keys() == {"config.json", "model.safetensors"}
    git = hashlib.sha1(b"blob %d\0" % len(config) + config).hexdigest()
    assert by_name["config.json"].blob_id == git
    lfs = by_name["model.safetensors"].lfs
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert lfs is not None and lfs.sha256 == hashlib.sha256(weights).hexdigest()


def test_refs_name_the_main_branch(api: HfApi, hub: HubServer) -> None:
    refs = api.list_repo_refs(TINY_ID)
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [
        ("main", hub.commit(TINY_ID))
    ]


def test_an_unknown_model_is_not_found(api: HfApi, hub: HubServer) -> None:
    with pytest.raises(RepositoryNotFoundError) as anonymous:
        api.model_info("nobody/nothing")
    with pytest.raises(RepositoryNotFoundError) as known:
        HfApi(endpoint=hub.url, token=TOKEN).model_info("nobody/nothing")
    assert not isinstance(anonymous.value, GatedRepoError)
    assert not isinstance(known.value, GatedRepoError)


def test_an_unknown_file_and_revision_are_told_apart(api: HfApi, tmp_path: Path) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(MINILM_ID, "absent.json", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(MINILM_ID, "config.json", revision="v9", cache_dir=tmp_path)
    assert not api.file_exists(MINILM_ID, "absent.json")


def test_a_gated_model_needs_a_token_that_was_granted_access(
    hub: HubServer, tmp_path: Path
) -> None:
    for token in (False, "hf_sim_denied"):
        with pytest.raises(GatedRepoError):
            HfApi(endpoint=hub.url, token=token).hf_hub_download(
                GATED_ID, "config.json", cache_dir=tmp_path
            )
    allowed = HfApi(endpoint=hub.url, token=TOKEN)
    assert Path(allowed.hf_hub_download(GATED_ID, "config.json", cache_dir=tmp_path)).is_file()
    assert allowed.whoami()["name"] == "simcloud"


def test_the_description_of_a_gated_model_is_public(api: HfApi) -> None:
    assert api.model_info(GATED_ID).gated == "manual"


def test_a_made_up_token_is_refused_everywhere(hub: HubServer) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(endpoint=hub.url, token="hf_other").model_info(MINILM_ID)
    assert caught.value.response.status_code == 401
    assert not isinstance(caught.value, RepositoryNotFoundError)


@pytest.mark.parametrize(
    ("asked", "status", "content_range"),
    [
        ("bytes=0-9", 206, "bytes 0-9/{size}"),
        ("bytes=10-", 206, "bytes 10-{last}/{size}"),
        ("bytes=-5", 206, "bytes {fifth}-{last}/{size}"),
        ("bytes=0-99999999", 200, None),
        ("bytes=99999999-", 416, "bytes */{size}"),
        ("lines=1-2", 200, None),
    ],
)
def test_ranges(hub: HubServer, asked: str, status: int, content_range: str | None) -> None:
    size = (minilm_folder() / "config.json").stat().st_size
    expected = content_range and content_range.format(size=size, last=size - 1, fifth=size - 5)

    response = get(hub.url, f"/{MINILM_ID}/resolve/main/config.json", Range=asked)

    assert response.status == status
    assert response.getheader("Content-Range") == expected


@pytest.mark.parametrize("path", ["../config.json", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd"])
def test_nothing_outside_of_a_model_is_served(hub: HubServer, path: str) -> None:
    assert get(hub.url, f"/{TINY_ID}/resolve/main/{path}").status == 404


def test_the_tiny_model_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiny_bert(tmp_path / name)
    first = serve_hub(models=[HostedModel(TINY_ID, tmp_path / "a")])
    second = serve_hub(models=[HostedModel(TINY_ID, tmp_path / "b")])
    try:
        assert first.commit(TINY_ID) == second.commit(TINY_ID)
    finally:
        first.close()
        second.close()


def test_the_tiny_tokenizer_spells_words(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    write_tiny_bert(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokens = tokenizer.encode("Ab 7!").tokens
    assert tokens == ["[CLS]", "a", "##b", "7", "!", "[SEP]"]


def test_a_model_that_takes_its_time_is_made_once_when_it_is_asked_for(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> Path:
        made.append("once")
        write_tiny_bert(tmp_path)
        return tmp_path

    server = HubServer("127.0.0.1", 0, [], {"org/slow": make})
    try:
        assert made == []
        assert get(server.url, "/api/models/org/slow").status == 200
        assert get(server.url, "/org/slow/resolve/main/config.json").status == 200
        assert made == ["once"]
    finally:
        server.close()


def test_a_model_that_cannot_be_made_is_not_there_for_now() -> None:
    def make() -> Path:
        raise OSError("the disk is full")

    server = HubServer("127.0.0.1", 0, [], {"org/slow": make})
    try:
        answer = get(server.url, "/api/models/org/slow")
        assert answer.status == 503
        assert "the disk is full" in answer.headers["X-Error-Message"]
    finally:
        server.close()


def test_a_closed_hub_frees_its_port() -> None:
    first = serve_hub()
    first.close()
    second = serve_hub(port=int(first.url.rsplit(":", 1)[1]))
    assert get(second.url, f"/api/models/{TINY_ID}").status == 200
    second.close()
