"""A job: what the user wrote, checked. Attributes carry their unit; the YAML key is the alias."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from orchestrator.errors import SpecError
from orchestrator.spec.document import Keys, Place
from orchestrator.spec.explain import Mistake, explain, without_echoes
from orchestrator.spec.limits import Budget, Hold, Interval
from orchestrator.spec.model import Model
from orchestrator.spec.nearest import printable, quoted
from orchestrator.spec.paths import File, Folder, Surroundings, resolve, surroundings
from orchestrator.spec.place import Target
from orchestrator.spec.rules import broken_rules
from orchestrator.spec.section import (
    Choice,
    EnvironmentName,
    EnvironmentText,
    Listed,
    OneOrMore,
    PublicName,
    Section,
    Text,
    not_yet,
    wrong,
)
from orchestrator.spec.train import CausalLmTrain, Train

KINDS = Choice(("finetune",), later=("serve", "experiment"))
PROVIDERS = Choice(
    ("runpod", "vast", "lambda", "paperspace", "local", "ssh_host"), several=("ssh_host",)
)
TASKS = Choice(
    ("text-classification", "causal-lm"),
    later=("token-classification", "embedding", "image-classification"),
)
METHODS = Choice(("full",), later=("lora", "qlora"))
CAUSAL_LM_METHODS = Choice(("lora", "qlora", "full"))
STAGES = Choice(("sft",), later=("dpo",))
TRUST = Choice(("verified", "any", "datacenter", "secure"))
# The kinds of a manifest (agent/protocol.py) that one may leave behind.
KEEPABLE = ("model", "metrics", "logs", "checkpoint", "rest")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise wrong("must be 1 to 64 letters, digits, dots, dashes or underscores")
    if name == "last":
        raise wrong("cannot be `last`: that word means the latest run")
    return name


def _check_image(image: str) -> str:
    if not _IMAGE.fullmatch(image):
        raise wrong("must be `auto` or the name of a container image, such as owner/name:tag")
    return image


def _check_count(count: int) -> int:
    if count > 1:
        raise not_yet("more than one GPU", "count: 1")
    return count


def _read_gpu(raw: object) -> object:
    if raw == "auto":
        return {}
    if isinstance(raw, dict | Gpu):
        return raw
    raise wrong("must be `auto`, or a mapping such as {name: RTX 4090, memory_gib: 24}")


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a job was read from. All are equal: a job is what it says, not where."""

    path: str = field(default="", compare=False)  # as it was typed; "" for a recorded job
    place: Callable[[Keys], Place] | None = field(default=None, compare=False)

    @property
    def check_hint(self) -> str:
        """What to do once the file is corrected."""
        path = shlex.quote(printable(self.path))
        return f"`gpulease check {path}` looks again, and spends nothing" if self.path else ""


class Gpu(Section):
    """What the user asks of the GPU; nothing asked means that sizing decides."""

    names: OneOrMore[Text] = Field(default=(), alias="name", max_length=32)
    count: Annotated[int, AfterValidator(_check_count)] = Field(default=1, ge=1)
    memory_gib: float | None = Field(default=None, gt=0, le=1024)  # per GPU, at least
    allow_cpu: bool = False  # train on the CPU where there is no usable GPU


class Columns(Section):
    """Which columns of the data hold what; recognised by name where not written."""

    text: Text | None = None
    label: Text | None = None
    messages: Text | None = None
    prompt: Text | None = None
    completion: Text | None = None
    instruction: Text | None = None
    input: Text | None = None
    output: Text | None = None
    system: Text | None = None


class Data(Section):
    """Files to train on and to evaluate on."""

    train: File
    eval: File | None = None
    columns: Columns = Columns()


class Code(Section):
    """One's own program: the folder is sent, the command runs in it."""

    path: Folder
    command: Annotated[Text, Field(max_length=16_384)]
    requirements: Text | None = None  # a file below `path`

    @model_validator(mode="after")
    def _check_requirements(self, info: ValidationInfo) -> Self:
        if self.requirements is None:
            return self
        path = resolve(self.requirements, self.path)
        if not path.is_relative_to(self.path):
            raise wrong("requirements must be a file below path")
        if surroundings(info).files_must_exist and not path.is_file():
            raise wrong(f"there is no requirements file {quoted(self.requirements)} in path")
        return self


class Checkpoints(Section):
    """How often the newest complete checkpoint is brought home."""

    every_s: Interval = Field(
        default=15 * 60.0, alias="every", json_schema_extra={"default": "15m"}
    )


class Artifacts(Section):
    """What is kept and where, and how long the machine waits for somebody to fetch it."""

    keep: Listed[Annotated[str, Choice(KEEPABLE)]] = KEEPABLE
    to: Target | None = None  # object storage; home where there is none
    hold_s: Hold = Field(default=30 * 60.0, alias="hold", json_schema_extra={"default": "30m"})


class Regions(Section):
    """Where a machine may stand; the provider's own region names."""

    allow: Listed[Text] = ()
    deny: Listed[Text] = ()


class FinetuneJob(Section):
    """Fine-tune a model of the hub by one of our programs, or run one's own code."""

    folder: Path = Field(exclude=True)  # of the job file; every path in the job is absolute
    kind: Annotated[str, KINDS]
    name: Annotated[str, AfterValidator(_check_name)]
    model: Model | None = None
    task: Annotated[str, TASKS] | None = None
    method: Annotated[str, METHODS] = "full"
    data: Data | None = None
    train: Train = Train()
    code: Code | None = None
    gpu: Annotated[
        Gpu, BeforeValidator(_read_gpu, json_schema_input_type=Literal["auto"] | Gpu)
    ] = Gpu()
    budget: Budget = Budget()
    providers: Listed[Annotated[str, PROVIDERS]] = ()  # empty: all with a key, and own hosts
    image: Annotated[str, AfterValidator(_check_image)] = "auto"
    env: dict[PublicName, EnvironmentText] = Field(default_factory=dict)
    secrets: Listed[EnvironmentName] = ()  # names; values never enter a job
    setup: Annotated[Text, Field(max_length=65_536)] | None = None
    regions: Regions = Regions()
    spot: bool = False  # a bid may be rented beside what is on demand
    trust: Annotated[str, TRUST] = "verified"
    checkpoints: Checkpoints = Checkpoints()
    artifacts: Artifacts = Artifacts()
    accept_unguarded: bool = False
    allow_untrusted_secrets: bool = False
    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def check_hint(self) -> str:
        """What to do once the file is corrected; empty for a recorded job."""
        return self._origin.check_hint

    def at(self, *keys: str) -> str:
        """Where `keys` was written, `job.yaml:3: `, to stand before a mistake in it."""
        return f"{self._origin.place(keys)}: " if self._origin.place else ""

    @property
    def is_own_code(self) -> bool:
        """The program is the user's folder, not one of `jobs/`."""
        return self.code is not None

    def to_document(self) -> dict[str, object]:
        """The job as JSON values under its YAML keys; `job_from_document` reads it back."""
        written = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        if self.is_own_code:
            del written["train"], written["method"]
        return {"folder": str(self.folder), **written}


class CausalLmJob(FinetuneJob):
    """Teach a language model to write, by an adapter or in full."""

    method: Annotated[str, CAUSAL_LM_METHODS] = "lora"
    stage: Annotated[str, STAGES] = "sft"
    train: CausalLmTrain = CausalLmTrain()


Job: TypeAlias = FinetuneJob
_OF_TASK: dict[object, type[FinetuneJob]] = {"causal-lm": CausalLmJob}


def job_type(task: object) -> type[FinetuneJob]:
    """The keys that a job of this task may have."""
    return _OF_TASK.get(task, FinetuneJob) if isinstance(task, str) else FinetuneJob


def read_job(
    written: Mapping[str, object],
    folder: Path,
    *,
    files_must_exist: bool = False,
    origin: Origin | None = None,
    fetch: Callable[[str], Path] | None = None,
) -> Job | list[Mistake]:
    """The job that `written` means, or every mistake in it; `fetch` brings data from elsewhere."""
    mistakes = _unknown_kind(written)
    if mistakes:
        return mistakes
    mistakes = list(broken_rules(written))
    around = Surroundings(folder, files_must_exist, fetch)
    kind = job_type(written.get("task"))
    try:
        job = kind.model_validate({**written, "folder": folder}, context=around)
    except ValidationError as error:
        mistakes += explain(error, kind)
    else:
        if not mistakes:
            job._origin = origin or Origin()
            return job
    if any(mistake.keys == ("task",) for mistake in mistakes):
        # Settings are those of the task: with a wrong task nothing can be said of them.
        mistakes = [mistake for mistake in mistakes if mistake.keys[:1] != ("train",)]
    return without_echoes(mistakes)


def _unknown_kind(written: Mapping[str, object]) -> list[Mistake]:
    """The kind decides which keys there are: with a wrong one nothing else can be said."""
    kind = written.get("kind")
    if kind is None:
        return [Mistake(("kind",), "`kind` is missing; supported: finetune")]
    if not isinstance(kind, str):
        return [Mistake(("kind",), "kind: must be text; supported: finetune")]
    try:
        KINDS.check(kind)
    except PydanticCustomError as error:
        return [Mistake(("kind",), f"kind: {error.message()}")]
    return []


def job_from_document(document: Mapping[str, object]) -> Job:
    """The job that `to_document` wrote; whether its files are still there is not asked.

    Raises: SpecError when it is no such document.
    """
    written = dict(document)
    folder = written.pop("folder", None)
    if not isinstance(folder, str):
        raise SpecError(["the recorded job has no folder"])
    job = read_job(written, Path(folder))
    if isinstance(job, list):
        raise SpecError([f"the recorded job: {mistake.text}" for mistake in job])
    return job


def job_hash(job: Job) -> str:
    """sha256 of what was asked for, paths included, contents of files not."""
    text = json.dumps(job.to_document(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
