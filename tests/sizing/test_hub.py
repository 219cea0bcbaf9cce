"""Facts of models, from the real client against the loopback hub, and from folders."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.simcloud.hub import TOKEN, HubServer, serve_hub
from infra.simcloud.hub_models import (
    GATED_ID,
    MINILM_ID,
    TINY_ID,
    HostedModel,
    default_models,
    minilm_folder,
    write_tiny_bert,
)
from orchestrator.agent.hub import HubFile, needed_files
from orchestrator.errors import MissingCredentials, ProviderDown, SpecError
from orchestrator.sizing.hub import ModelFacts, needed_bytes, read_folder, read_model
from orchestrator.sizing.shape import Shape

MINILM_SHAPE = Shape(
    hidden_size=384,
    layers=6,
    intermediate_size=1536,
    vocab_size=30522,
    kv_size=384,
    max_positions=512,
)


def shard(folder: Path) -> None:
    """Split one safetensors file in two, with an index beside them."""
    whole = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    header.pop("__metadata__")
    names = list(header)
    weight_map = {}
    for number, part in enumerate((names[:5], names[5:]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        start = header[part[0]]["data_offsets"][0]
        end = header[part[-1]]["data_offsets"][1]
        for name in part:
            offsets = [at - start for at in header[name]["data_offsets"]]
            header[name] = {**header[name], "data_offsets": offsets}
            weight_map[name] = file
        told = json.dumps({name: header[name] for name in part}).encode()
        (folder / file).write_bytes(len(told).to_bytes(8, "little") + told + body[start:end])
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    made = tmp_path_factory.mktemp("models")
    models = list(default_models(made))
    for name in ("sharded", "pickled", "packed", "shapeless", "torn"):
        write_tiny_bert(made / name)
        models.append(HostedModel(f"odd/{name}", made / name))
    shard(made / "sharded")
    weights = (made / "pickled" / "model.safetensors").rename(
        made / "pickled" / "pytorch_model.bin"
    )
    weights.write_bytes(b"\0" * 4000)
    packed = made / "packed" / "model.safetensors"
    packed.write_bytes(packed.read_bytes().replace(b'"F32"', b'"I32"'))
    (made / "shapeless" / "config.json").write_text("{}")
    (made / "torn" / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")
    server = serve_hub(models=models)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_minilm_is_counted_without_reading_its_weights(hub: HubServer, cache: Path) -> None:
    before = len(hub.requests)
    facts = read_model(MINILM_ID, endpoint=hub.url, cache_dir=cache)

    assert facts.id == MINILM_ID
    assert facts.revision == hub.commit(MINILM_ID)
    assert facts.parameters == {"F32": 22_713_216, "I64": 512}
    assert facts.total_parameters == 22_713_216
    assert facts.shape == MINILM_SHAPE
    assert (facts.model_type, facts.architectures) == ("bert", ("BertModel",))
    assert facts.weight_bytes == 90_868_376
    assert 90_868_376 < facts.download_bytes < 93_000_000
    assert facts.has_tokenizer and facts.tokenizer_file == "tokenizer.json"
    assert not facts.is_estimate
    assert sum(request.body_bytes for request in hub.requests[before:]) < 200_000


def test_headers_of_a_commit_are_read_once(hub: HubServer, cache: Path) -> None:
    first = read_model(MINILM_ID, endpoint=hub.url, cache_dir=cache)
    before = len(hub.requests)
    second = read_model(MINILM_ID, first.revision, endpoint=hub.url, cache_dir=cache)

    assert second == first
    assert len(hub.requests) - before == 1


def test_what_is_kept_of_one_hub_is_not_believed_of_another(hub: HubServer, cache: Path) -> None:
    read_model(TINY_ID, endpoint=hub.url, cache_dir=cache)
    other = serve_hub()
    try:
        read_model(TINY_ID, endpoint=other.url, cache_dir=cache)
        assert any("resolve" in request.path for request in other.requests)
    finally:
        other.close()


def test_a_torn_cache_is_read_again(hub: HubServer, cache: Path) -> None:
    facts = read_model(TINY_ID, endpoint=hub.url, cache_dir=cache)
    for kept in cache.glob("*.json"):
        kept.write_text('{"id": 1')
    assert read_model(TINY_ID, endpoint=hub.url, cache_dir=cache) == facts


def test_shards_are_added_up(hub: HubServer, cache: Path) -> None:
    one = read_model(TINY_ID, endpoint=hub.url, cache_dir=cache)
    two = read_model("odd/sharded", endpoint=hub.url, cache_dir=cache)
    assert two.parameters == one.parameters


def test_a_model_of_pickles_is_estimated_by_its_size(hub: HubServer, cache: Path) -> None:
    facts = read_model("odd/pickled", endpoint=hub.url, cache_dir=cache)
    assert facts.is_estimate
    assert (facts.total_parameters, facts.weight_bytes) == (1000, 4000)


@pytest.mark.parametrize(
    ("model", "revision", "said"),
    [
        ("nobody/nothing", None, "there is no model nobody/nothing on "),
        (TINY_ID, "v9", f"model {TINY_ID} has no revision v9"),
        ("bad//name", None, "model bad//name: "),
        ("odd/packed", None, "model odd/packed has no weights that can be trained"),
        ("odd/shapeless", None, "model odd/shapeless: config.json does not describe"),
        ("odd/torn", None, "model odd/torn: Failed to parse safetensors header"),
    ],
)
def test_a_model_that_cannot_be_sized_is_a_mistake_in_the_job(
    hub: HubServer, cache: Path, model: str, revision: str | None, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read_model(model, revision, endpoint=hub.url, cache_dir=cache)
    assert caught.value.problem.startswith(said)


def test_a_gated_model_needs_a_token_with_access(hub: HubServer, cache: Path) -> None:
    with pytest.raises(MissingCredentials) as without:
        read_model(GATED_ID, endpoint=hub.url, cache_dir=cache)
    with pytest.raises(MissingCredentials) as denied:
        read_model(GATED_ID, endpoint=hub.url, cache_dir=cache, token="hf_sim_denied")

    assert "it needs a token" in without.value.problem
    assert "HF_TOKEN" in without.value.hint
    assert "has no access" in denied.value.problem
    facts = read_model(GATED_ID, endpoint=hub.url, cache_dir=cache, token=TOKEN)
    assert facts.total_parameters > 0


def test_what_a_token_has_read_is_still_refused_to_a_stranger(hub: HubServer, cache: Path) -> None:
    read_model(GATED_ID, endpoint=hub.url, cache_dir=cache, token=TOKEN)
    with pytest.raises(MissingCredentials):
        read_model(GATED_ID, endpoint=hub.url, cache_dir=cache)


def test_a_token_that_the_hub_refuses_is_named_without_its_value(
    hub: HubServer, cache: Path
) -> None:
    with pytest.raises(MissingCredentials) as caught:
        read_model(MINILM_ID, endpoint=hub.url, cache_dir=cache, token="hf_wrong")
    assert "refuses the Hugging Face token" in caught.value.problem
    assert "hf_wrong" not in caught.value.problem + caught.value.hint


def test_no_hub_is_no_proof_that_a_model_is_absent(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ProviderDown, match="cannot be reached"):
            read_model(MINILM_ID, endpoint=endpoint, cache_dir=cache)


def test_a_hub_in_trouble_is_asked_again_later(cache: Path) -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(ProviderDown, match="answers 503"):
            read_model(MINILM_ID, endpoint=endpoint, cache_dir=cache)
    finally:
        server.shutdown()
        server.server_close()


def test_a_folder_has_the_facts_of_the_same_model_on_the_hub(hub: HubServer, cache: Path) -> None:
    of_hub = read_model(MINILM_ID, endpoint=hub.url, cache_dir=cache)
    of_folder = read_folder(minilm_folder())

    assert of_folder.parameters == of_hub.parameters
    assert of_folder.shape == of_hub.shape
    assert of_folder.revision == ""


def test_a_sharded_folder_is_counted(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path)
    whole = read_folder(tmp_path)
    shard(tmp_path)
    assert read_folder(tmp_path).parameters == whole.parameters


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_is_no_model_is_a_mistake_in_the_job(tmp_path: Path, missing: str) -> None:
    write_tiny_bert(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(SpecError):
        read_folder(tmp_path)


def test_an_index_may_not_name_what_is_not_there(tmp_path: Path) -> None:
    write_tiny_bert(tmp_path)
    shard(tmp_path)
    shutil.copy(tmp_path / "config.json", tmp_path / "model.safetensors.index.json")
    with pytest.raises(SpecError, match="names weights that are not there"):
        read_folder(tmp_path)


LISTINGS = [
    ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx"],
    ["config.json", "pytorch_model.bin", "flax_model.msgpack", ".gitattributes", "rust_model.ot"],
    ["model-00001-of-00002.safetensors", "consolidated.safetensors", "original/a.pth"],
    ["consolidated.safetensors", "params.json"],
    [
        "1_Pooling/config.json",
        "2_Dense/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "vocab.txt",
    ],
]


@pytest.mark.parametrize("names", LISTINGS)
def test_the_bytes_are_those_that_the_agent_fetches(names: list[str]) -> None:
    sizes = {name: 2**number for number, name in enumerate(names)}
    fetched = needed_files([HubFile(name, size) for name, size in sizes.items()])
    assert needed_bytes(sizes) == sum(file.size_bytes or 0 for file in fetched)


def test_integers_are_no_parameters() -> None:
    facts = ModelFacts(
        id="a/b",
        revision="",
        parameters={"F32": 1, "BF16": 10, "F8_E4M3": 100, "I64": 1000, "U8": 10_000},
        is_estimate=False,
        shape=MINILM_SHAPE,
        model_type="bert",
        architectures=(),
        weight_bytes=0,
        download_bytes=0,
        tokenizer_file="",
    )
    assert facts.total_parameters == 111
    assert not facts.has_tokenizer
