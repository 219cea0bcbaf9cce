"""What a job needs, from its data and its model: before any offer is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.lifecycle.forecast import disk_gib
from orchestrator.lifecycle.homeline import HOME_BYTES_PER_S, collect_s
from orchestrator.lifecycle.plan import DEFAULT_IMAGE, Material
from orchestrator.lifecycle.reading import Reading, read_as_model
from orchestrator.lifecycle.sending import secrets_sent
from orchestrator.lifecycle.traffic import planned
from orchestrator.offers.gpus import least_capability
from orchestrator.offers.offer import TRUST_ORDER
from orchestrator.runs.run import Launch
from orchestrator.sizing.fit import Footprint, Training, footprint
from orchestrator.sizing.hub import ModelFacts, read_folder, read_model, tokenizer_files
from orchestrator.sizing.memory import LORA_R
from orchestrator.spec.data import DataReport, check_data
from orchestrator.spec.job import Job
from orchestrator.spec.model import LocalModel, ModelReference
from orchestrator.spec.programs import Program, load_program
from orchestrator.spec.resources import Need

_OWN_CODE_RESULT_BYTES = 1 << 30  # a guess that the plan shows
_OWN_CODE_COLLECTED_BYTES = 100 << 20  # for which time is kept under the cap
_OWN_CODE_CUDA = "12.8"
_GIB = 1024**3
_SECRETS_TRUST = "datacenter"  # hosts below it are given secrets only when the job allows it
_BFLOAT16 = 8.0  # least compute capability: TRL keeps an adapter on 4 bits in bf16
_SPARE_S = 2 * 3600.0  # boot, collecting, and what a host's own end may come early
HUB_TOKEN = "HF_TOKEN"


def prepare(
    job: Job,
    *,
    cache_dir: Path,
    endpoint: str,
    token: str | None,
    private: Sequence[Path] = (),
    home_bytes_per_s: float = HOME_BYTES_PER_S,
) -> Material:
    """Read data and model facts, and size the job.

    Args:
        private: files that are ours and never sent.
        home_bytes_per_s: how fast results are expected to come home.

    Raises: SpecError with every problem of the data, or an unknown model; MissingCredentials for a
    gated one; ProviderDown without a hub.
    """
    if job.code is not None:
        made = _own_code(job, cache_dir, endpoint, token, private)
        return _at_line(made, _OWN_CODE_COLLECTED_BYTES, home_bytes_per_s)
    report = check_data(job)
    if report.problems:
        raise SpecError(report.problems, hint=job.check_hint)
    assert job.task is not None and job.model is not None, "the spec says so"
    program = load_program(job.task)
    facts = model_facts(job, cache_dir=cache_dir, endpoint=endpoint, token=token)
    if not facts.has_tokenizer:
        problem = f"model {facts.id} brings no tokenizer, and {job.task} needs one"
        raise SpecError([job.at("model") + problem], hint=job.check_hint)
    files = tokenizer_files(facts, cache_dir=cache_dir, token=token, endpoint=endpoint)
    reading = read_as_model(job, report, facts, files)
    if reading.problems:
        raise SpecError(list(reading.problems), hint=job.check_hint)
    footprint_ = _footprint(job, report, facts, reading)
    launch = _launch(job, program, facts, report, footprint_, endpoint)
    launch = _with_traffic(launch, job, footprint_, facts)
    need = _need(job, footprint_, program.cuda, launch)
    warnings = (*report.warnings, *reading.warnings)
    sizing = _sizing(facts, footprint_, reading)
    made = Material(job, launch, need, footprint_, sizing, warnings)
    return _at_line(made, launch.result_bytes, home_bytes_per_s)


def model_facts(job: Job, *, cache_dir: Path, endpoint: str, token: str | None) -> ModelFacts:
    """Facts of the job's model, from the hub or a folder."""
    assert job.model is not None
    try:
        return read_facts(job.model, cache_dir=cache_dir, endpoint=endpoint, token=token)
    except SpecError as error:
        problems = [job.at("model") + problem for problem in error.problems]
        raise SpecError(problems, hint=error.hint or job.check_hint) from error


def read_facts(
    model: ModelReference, *, cache_dir: Path, endpoint: str, token: str | None
) -> ModelFacts:
    """Facts of a model, from the hub or a folder."""
    if isinstance(model, LocalModel):
        return read_folder(model.path)
    return read_model(model.id, model.revision, cache_dir=cache_dir, token=token, endpoint=endpoint)


def _own_code(
    job: Job, cache_dir: Path, endpoint: str, token: str | None, private: Sequence[Path]
) -> Material:
    assert job.code is not None
    facts = None
    if job.model is not None:
        facts = model_facts(job, cache_dir=cache_dir, endpoint=endpoint, token=token)
    requirements = job.code.requirements
    locks = {"cpu": requirements, "cuda": requirements} if requirements else {}
    launch = Launch(
        image=_image(job, DEFAULT_IMAGE),
        disk_gib=disk_gib(None),
        python="3.11",
        cuda=_OWN_CODE_CUDA,
        program="",
        command=(job.code.command,),
        requirements=locks,
        result_bytes=_OWN_CODE_RESULT_BYTES,
    )
    launch = _with_wishes(_with_model(launch, facts, job, endpoint), job)
    launch = _with_traffic(launch, job, None, facts, private)
    warnings = ["the time of one's own code is not known: the forecast is up to max_duration"]
    if told := secrets_sent(job, private):
        warnings.append(told)
    need = _need(job, None, _OWN_CODE_CUDA, launch)
    return Material(job, launch, need, None, (), tuple(warnings))


def _at_line(made: Material, result_bytes: int, bytes_per_s: float) -> Material:
    """With the time that results need to come home over this computer's line."""
    launch = replace(made.launch, collect_s=collect_s(result_bytes, bytes_per_s))
    return replace(made, launch=launch, home_bytes_per_s=bytes_per_s)


def _launch(
    job: Job,
    program: Program,
    facts: ModelFacts,
    report: DataReport,
    need: Footprint,
    endpoint: str,
) -> Launch:
    launch = Launch(
        image=_image(job, program.image),
        disk_gib=disk_gib(need),
        python=program.python,
        cuda=program.cuda,
        program=program.task,
        command=program.command,
        requirements=dict(program.requirements),
        columns=_columns(report),
        result_bytes=need.result_bytes + 2 * need.checkpoint_bytes,
    )
    return _with_wishes(_with_model(launch, facts, job, endpoint), job)


def _columns(report: DataReport) -> dict[str, str]:
    return dict(report.roles) or {"text": report.text_column, "label": report.label_column}


def _with_model(launch: Launch, facts: ModelFacts | None, job: Job, endpoint: str) -> Launch:
    if facts is None:
        return launch
    if isinstance(job.model, LocalModel):
        return replace(launch, model_folder=str(job.model.path))
    return replace(
        launch,
        model_id=facts.id,
        model_revision=facts.revision,
        model_endpoint=endpoint,
        secrets=(HUB_TOKEN,) if facts.needs_token else (),
    )


def _with_wishes(launch: Launch, job: Job) -> Launch:
    return replace(
        launch,
        allow_cpu=job.gpu.allow_cpu,
        accept_unguarded=job.accept_unguarded,
        hold_s=job.artifacts.hold_s,
        bucket=job.artifacts.to or "",
        checkpoint_every_s=job.checkpoints.every_s,
        secrets=tuple(dict.fromkeys((*job.secrets, *launch.secrets))),
    )


def _with_traffic(
    launch: Launch,
    job: Job,
    need: Footprint | None,
    facts: ModelFacts | None,
    private: Sequence[Path] = (),
) -> Launch:
    is_fetched = facts is not None and bool(launch.model_id)
    model_bytes = facts.download_bytes if facts is not None and is_fetched else 0
    traffic = planned(
        job,
        need,
        model_bytes=model_bytes,
        result_bytes=launch.result_bytes,
        private=private,
    )
    return replace(launch, traffic=traffic)


def _image(job: Job, default: str) -> str:
    return default if job.image == "auto" else job.image


def _need(job: Job, need: Footprint | None, cuda: str, launch: Launch) -> Need:
    asked_gib = job.gpu.memory_gib or 0.0
    sized_gib = need.gpu_memory_gib if need is not None else 0.0
    has_secrets = bool(launch.secrets) and not job.allow_untrusted_secrets
    return Need(
        gpu_memory_gib=asked_gib or sized_gib,
        gpu_names=tuple(job.gpu.names),
        gpu_count=job.gpu.count,
        allow_cpu=job.gpu.allow_cpu,
        disk_gib=disk_gib(need),
        cuda=cuda,
        regions_allow=tuple(job.regions.allow),
        regions_deny=tuple(job.regions.deny),
        ram_gib=need.ram_gib if need is not None else 0.0,
        compute_capability=_least_capability(job, cuda),
        trust=max(job.trust, _SECRETS_TRUST, key=TRUST_ORDER.index) if has_secrets else job.trust,
        spot=job.spot,
        duration_s=job.budget.max_duration_s + launch.hold_s + _SPARE_S,
        has_secrets=has_secrets,
    )


def _least_capability(job: Job, cuda: str) -> float:
    """Own code may do without a GPU, or know its way on the card that it names."""
    if job.task is None and (job.gpu.names or job.gpu.allow_cpu):
        return 0.0
    return max(_BFLOAT16 if job.method == "qlora" else 0.0, least_capability(cuda))


def _footprint(job: Job, report: DataReport, facts: ModelFacts, reading: Reading) -> Footprint:
    settings = job.train.to_settings()
    rows, tokens = report.train_rows, reading.tokens
    writes = job.task == "causal-lm"
    training = Training(
        train_rows=rows,
        eval_rows=report.eval_rows,
        mean_chars=report.size_bytes / max(1, rows + report.eval_rows),
        epochs=job.train.num_train_epochs,
        batch=job.train.per_device_train_batch_size,
        max_length=job.train.max_length,
        gradient_accumulation=job.train.gradient_accumulation_steps,
        max_steps=job.train.max_steps,
        labels=0 if writes else max(2, len(report.labels)),
        method=job.method,
        lora_r=int(settings.get("lora_r", LORA_R)),
        packing=settings.get("packing") is True,
        checkpointing=settings.get("gradient_checkpointing") is True,
        merged=settings.get("merge_adapter") is True,
        counted_tokens=tokens.mean if tokens and tokens.rows else None,
        longest_tokens=tokens.longest if tokens and reading.is_whole else None,
    )
    return footprint(
        training,
        parameters=facts.total_parameters,
        shape=facts.shape,
        download_bytes=facts.download_bytes,
        data_bytes=report.size_bytes,
        weight_bytes=facts.weight_bytes if writes else 0,
    )


def _sizing(facts: ModelFacts, need: Footprint, reading: Reading) -> tuple[tuple[str, str], ...]:
    parts = [("parameters", f"{facts.total_parameters / 1e6:.1f} M")]
    if need.method != "full":
        parts.append(("trained", f"{need.trained_parameters / 1e6:.2f} M, {need.method}"))
    if reading.sentence:
        parts.append(("tokens", reading.sentence))
    parts += [(name, f"{size / _GIB:.2f} GiB") for name, size in need.parts]
    parts.append(("GPU memory", f"{need.gpu_memory_gib:.1f} GiB"))
    parts.append(("RAM of the host", f"{need.ram_gib:.1f} GiB"))
    parts.append(("expected results", f"{need.result_bytes / 2**20:.0f} MiB"))
    return tuple(parts)
