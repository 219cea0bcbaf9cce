"""What a model is, from its configuration and the headers of its weights: no weights are read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from orchestrator.errors import MissingCredentials, ProviderDown, SpecError
from orchestrator.sizing.shape import Shape, to_shape

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo
    from huggingface_hub.utils._safetensors import SafetensorsFileMetadata

PUBLIC_HUB = "https://huggingface.co"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

_TIMEOUT_S = 20.0
_HEADERS_AT_ONCE = 8
_CONFIG = "config.json"
_ONE_FILE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLE = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_HEAD = "lm_head.weight"  # a tied one is not in the file
_COMMIT = re.compile(r"[0-9a-f]{40}")

# What the agent leaves on the hub: the same weights in other formats (agent/hub.py).
_OTHER_FOLDERS = ("onnx", "openvino", "coreml", "original", "tflite")
_OTHER_FORMATS = (".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".gguf", ".mlmodel")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model, as far as sizing and checks need to know it."""

    id: str
    revision: str  # commit; "" for a folder of this computer
    parameters: Mapping[str, int]  # by dtype, as in the file: {"F32": 22713216, "I64": 512}
    is_estimate: bool  # counted from the size of a file without a readable header
    shape: Shape
    model_type: str
    architectures: tuple[str, ...]
    weight_bytes: int
    download_bytes: int  # of all files that a machine fetches; of a folder: that are sent
    tokenizer_file: str  # "" where there is none
    needs_token: bool = False  # its files are not given to strangers

    @property
    def total_parameters(self) -> int:
        """Numbers that can be trained: integers in a file are buffers or packed weights."""
        return sum(n for dtype, n in self.parameters.items() if dtype.startswith(("F", "BF")))

    @property
    def has_tokenizer(self) -> bool:
        """Whether the model brings the tokenizer that its texts need."""
        return bool(self.tokenizer_file)


def read_model(
    model_id: str,
    revision: str | None = None,
    *,
    cache_dir: Path,
    token: str | None = None,
    endpoint: str | None = None,
) -> ModelFacts:
    """The facts of a hub model; headers of a commit are read once and kept in `cache_dir`.

    Args:
        revision: branch, tag or commit; None is the hub's main branch.
        token: None asks as a stranger, whatever this computer has stored elsewhere.

    Raises: SpecError (no such model, revision, or weights that can be sized), MissingCredentials
    (gated, or the token is refused), ProviderDown (no answer from the hub).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=endpoint or PUBLIC_HUB, token=token or False)
    with _hub_errors(model_id, revision, api.endpoint, has_token=bool(token)):
        info = api.model_info(model_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
        commit = info.sha or ""
        if not _COMMIT.fullmatch(commit):
            raise ProviderDown(f"{api.endpoint} names no commit for {model_id}")
        if info.gated:
            _check_access(api, model_id, commit)
        key = hashlib.sha256(f"{api.endpoint} {model_id} {commit}".encode()).hexdigest()
        kept = cache_dir / f"{key[:32]}.json"
        if (facts := _read_kept(kept)) is None:
            facts = _read_hub(api, model_id, info, cache_dir / "hub")
            _keep(kept, facts)
    return replace(facts, needs_token=bool(info.gated or info.private))


def tokenizer_files(
    facts: ModelFacts, *, cache_dir: Path, token: str | None = None, endpoint: str | None = None
) -> dict[str, Path]:
    """The files of TOKENIZER_FILES that a model has, by name, on this computer.

    Raises: as `read_model`.
    """
    if not facts.revision:
        folder = Path(facts.id)
        return {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=endpoint or PUBLIC_HUB, token=token or False)
    found: dict[str, Path] = {}
    with _hub_errors(facts.id, facts.revision, api.endpoint, has_token=bool(token)):
        for name in TOKENIZER_FILES:
            with suppress(EntryNotFoundError):
                path = api.hf_hub_download(
                    facts.id, name, revision=facts.revision, cache_dir=cache_dir / "hub"
                )
                found[name] = Path(path)
    return found


def token_owner(token: str, endpoint: str) -> str:
    """Name of the hub account that a token belongs to.

    Raises: MissingCredentials when the hub refuses it, ProviderDown without an answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        who = HfApi(endpoint=endpoint, token=token).whoami()
    except HfHubHTTPError as error:
        raise MissingCredentials("the hub refuses the token") from error
    except OSError as error:
        raise ProviderDown(f"{endpoint} does not answer") from error
    return str(who.get("name", ""))


def read_folder(folder: Path) -> ModelFacts:
    """The facts of a model folder of this computer.

    Raises: SpecError.
    """
    from huggingface_hub import parse_local_safetensors_file_metadata
    from huggingface_hub.errors import SafetensorsParsingError

    name = str(folder)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    try:
        config = _object((folder / _CONFIG).read_bytes(), name)
        index = (folder / _INDEX).read_bytes() if _INDEX in sizes else b""
        shards = _shards(name, sizes, index)
        headers = [parse_local_safetensors_file_metadata(folder / shard) for shard in shards]
    except (OSError, SafetensorsParsingError) as error:
        raise SpecError([f"model {name} cannot be read: {error}"]) from error
    return _facts(name, "", config, sizes, shards, headers)


def needed_bytes(sizes: Mapping[str, int]) -> int:
    """Bytes of the files that a program needs: one format of the weights, and all else.

    >>> needed_bytes({"config.json": 1, "model.safetensors": 10, "pytorch_model.bin": 10})
    11
    """
    safe = {PurePosixPath(name).parent for name in sizes if name.endswith(".safetensors")}

    def is_needed(name: str) -> bool:
        path = PurePosixPath(name)
        if path.parts[0] in _OTHER_FOLDERS or path.name in (".gitattributes", ".gitignore"):
            return False
        if path.suffix in _PICKLES:
            return path.parent not in safe
        if path.name.startswith("consolidated") and path.suffix == ".safetensors":
            return not any(
                re.fullmatch(r"model[^/]*\.safetensors", PurePosixPath(other).name)
                for other in sizes
                if PurePosixPath(other).parent == path.parent
            )
        return path.suffix not in _OTHER_FORMATS

    return sum(size for name, size in sizes.items() if is_needed(name))


def _read_hub(api: HfApi, model_id: str, info: ModelInfo, cache_dir: Path) -> ModelFacts:
    commit = info.sha or ""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}

    def fetch(name: str) -> bytes:
        path = api.hf_hub_download(model_id, name, revision=commit, cache_dir=cache_dir)
        return Path(path).read_bytes()

    def header(name: str) -> SafetensorsFileMetadata:
        return api.parse_safetensors_file_metadata(model_id, name, revision=commit)

    if _CONFIG not in sizes:
        raise SpecError([f"model {model_id} has no {_CONFIG}: transformers cannot load it"])
    config = _object(fetch(_CONFIG), model_id)
    shards = _shards(model_id, sizes, fetch(_INDEX) if _INDEX in sizes else b"")
    with ThreadPoolExecutor(_HEADERS_AT_ONCE) as pool:
        headers = list(pool.map(header, shards))
    return _facts(model_id, commit, config, sizes, shards, headers)


def _shards(model: str, sizes: Mapping[str, int], index: bytes) -> list[str]:
    """The safetensors files of the weights; none when there are only pickles."""
    if _ONE_FILE in sizes:
        return [_ONE_FILE]
    if not index:
        return []
    weight_map = _object(index, model).get("weight_map")
    named = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not named or not named <= sizes.keys():
        raise SpecError([f"model {model}: {_INDEX} names weights that are not there"])
    return sorted(named)


def _facts(
    model: str,
    commit: str,
    config: Mapping[str, object],
    sizes: Mapping[str, int],
    shards: Iterable[str],
    headers: Iterable[SafetensorsFileMetadata],
) -> ModelFacts:
    shape = to_shape(config)
    if shape is None:
        raise SpecError([f"model {model}: {_CONFIG} does not describe a transformer"])
    parameters: Counter[str] = Counter()
    has_head = False
    for header in headers:
        parameters.update({str(dtype): count for dtype, count in header.parameter_count.items()})
        has_head = has_head or any(name.endswith(_HEAD) for name in header.tensors)
    if parameters:
        shape = replace(shape, tied=not has_head)
    weight_bytes = sum(sizes[name] for name in shards)
    is_estimate = not parameters
    if is_estimate:
        weight_bytes = sum(size for name, size in sizes.items() if _PICKLE.fullmatch(name))
        is_half = config.get("torch_dtype", config.get("dtype")) in ("float16", "bfloat16")
        parameters["F16" if is_half else "F32"] = weight_bytes // (2 if is_half else 4)
    architectures = config.get("architectures")
    facts = ModelFacts(
        id=model,
        revision=commit,
        parameters=dict(parameters),
        is_estimate=is_estimate,
        shape=shape,
        model_type=str(config.get("model_type", "")),
        architectures=tuple(map(str, architectures)) if isinstance(architectures, list) else (),
        weight_bytes=weight_bytes,
        download_bytes=needed_bytes(sizes) if commit else sum(sizes.values()),
        tokenizer_file=next((name for name in _TOKENIZERS if name in sizes), ""),
    )
    if not facts.total_parameters:
        raise SpecError(
            [f"model {model} has no weights that can be trained"],
            hint="choose a model with model.safetensors or pytorch_model.bin, not a quantised one",
        )
    return facts


def _object(text: bytes, model: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SpecError([f"model {model}: {_CONFIG} is not valid JSON"]) from error
    if not isinstance(content, dict):
        raise SpecError([f"model {model}: {_CONFIG} is not an object"])
    return content


def _check_access(api: HfApi, model_id: str, commit: str) -> None:
    """A gated model's description is public and its files are not."""
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(model_id, _CONFIG, revision=commit, endpoint=api.endpoint)
    api.get_hf_file_metadata(url=url, timeout=_TIMEOUT_S)


@contextmanager
def _hub_errors(
    model_id: str, revision: str | None, endpoint: str, *, has_token: bool
) -> Iterator[None]:
    """The client's exceptions in our words."""
    from huggingface_hub import errors

    token_hint = "set HF_TOKEN, or run `gpulease login huggingface`"
    try:
        yield
    except errors.GatedRepoError as error:
        why = "the token in use has no access to it" if has_token else "it needs a token"
        hint = f"ask for access at {endpoint}/{model_id}"
        raise MissingCredentials(
            f"model {model_id} is gated, and {why}",
            hint=hint if has_token else f"{hint}, then {token_hint}",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SpecError(
            [f"there is no model {model_id} on {endpoint}"],
            hint="check the spelling (owner/name)"
            + ("" if has_token else f"; for a private model {token_hint}"),
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SpecError([f"model {model_id} has no revision {revision}"]) from error
    except (errors.HFValidationError, errors.SafetensorsParsingError) as error:
        raise SpecError([f"model {model_id}: {error}"]) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise MissingCredentials(
                f"{endpoint} refuses the Hugging Face token", hint=token_hint
            ) from error
        raise ProviderDown(
            f"{endpoint} answers {status} when asked for {model_id}", hint="try again later"
        ) from error
    except (
        errors.LocalEntryNotFoundError,
        errors.FileMetadataError,
        ConnectionError,
        TimeoutError,
        _transport_error(),
    ) as error:
        raise ProviderDown(
            f"{endpoint} cannot be reached, so {model_id} cannot be sized",
            hint="check the network, or name a model folder of this computer",
        ) from error


def _transport_error() -> type[Exception]:
    """Base of the HTTP client's own errors, whichever client huggingface_hub is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__module__.startswith("http"))


def _keep(path: Path, facts: ModelFacts) -> None:
    with suppress(OSError):  # next time it is read again
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(asdict(facts)))
        temporary.replace(path)


def _read_kept(path: Path) -> ModelFacts | None:
    try:
        record = json.loads(path.read_text())
        record["shape"] = Shape(**record["shape"])
        record["architectures"] = tuple(record["architectures"])
        return ModelFacts(**record)
    except (OSError, ValueError, KeyError, TypeError):
        return None
