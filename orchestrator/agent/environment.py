"""What set-up and program see of the machine: the variables of their processes."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import Mapping

from . import protocol
from .records import read_record
from .runfile import RunFile

# On somebody's own computer the agent inherits a person's whole environment, and on a rented
# machine PID 1's holds the provider's key: only what programs need goes on.
_PASSED = re.compile(
    r"HOME|USER|LOGNAME|SHELL|PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TERM|"
    r"LD_LIBRARY_PATH|LIBRARY_PATH|CPATH|"
    r"(CUDA|NVIDIA|NCCL|NV|OMP|MKL|UV|PIP|SSL_CERT|HF_HUB|XDG|PYTORCH|TORCH(INDUCTOR)?|TRITON)_\w+|"
    r"REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|HF_HOME|HF_ENDPOINT|"
    r"(?i:https?_proxy|no_proxy|all_proxy)|GPULEASE_CLOCK"
)
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


def machine_environment(work: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """All of PID 1's variables where they were saved, over the agent's own."""
    merged = dict(inherited)
    try:
        saved = (work / protocol.ENVIRONMENT_FILE).read_bytes()
    except OSError:
        saved = b""
    for entry in saved.split(b"\0"):
        name, equals, value = os.fsdecode(entry).partition("=")
        if name and equals:
            merged[name] = value
    return merged


def base_environment(machine: Mapping[str, str]) -> dict[str, str]:
    """The part of the machine's variables that its programs may see."""
    passed = {name: value for name, value in machine.items() if _PASSED.fullmatch(name)}
    passed.setdefault("PATH", _DEFAULT_PATH)
    passed.setdefault("HOME", str(Path.home()))
    return passed


def read_secrets(work: Path) -> dict[str, str]:
    """The secrets that the driver left; none when there is no such file."""
    record = read_record(work / protocol.SECRETS_FILE) or {}
    return {
        name: value
        for name, value in record.items()
        if isinstance(value, str) and name and "=" not in name and "\0" not in name + value
    }


def program_environment(
    run: RunFile, work: Path, base: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """The program's variables; the job's own win over the machine's, ours over both."""
    venv = work / protocol.VENV_DIR
    active = {"VIRTUAL_ENV": str(venv)} if run.requirements else {}
    return {
        **base,
        "PYTHONUNBUFFERED": "1",
        **run.environment,
        **secrets,
        **active,
        "PATH": f"{venv / 'bin'}:{run.environment.get('PATH') or base['PATH']}",
        "GPULEASE_RUN": run.run,
        "GPULEASE_DATA": str(work / protocol.DATA_DIR),
        "GPULEASE_MODEL": str(work / protocol.MODEL_DIR),
        "GPULEASE_OUTPUT": str(work / protocol.OUTPUT_DIR),
        "GPULEASE_CHECKPOINTS": str(work / protocol.CHECKPOINTS_DIR),
        "GPULEASE_METRICS": str(work / protocol.METRICS_FILE),
        "GPULEASE_EVENTS": str(work / protocol.EVENTS_FILE),
        "GPULEASE_DEVICE": run.device,
        "GPULEASE_CHECKPOINT_EVERY_S": str(run.checkpoints_every_s),
        "GPULEASE_DEADLINE": str(int(run.deadline_s)),
    }


def installer_environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` with pip's own settings said in uv's words, unless uv has settings of its own.

    A machine or network whose package index is configured for pip is not configured for uv,
    which reads none of pip's settings.
    """
    environment = {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", **base}
    if any(name in base for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS")):
        return environment
    pip = _pip_settings(base)
    if "index-url" in pip:
        environment["UV_DEFAULT_INDEX"] = pip["index-url"].strip()
    if "extra-index-url" in pip:
        environment["UV_INDEX"] = " ".join(pip["extra-index-url"].split())
        # pip takes the best version of all its indexes.
        environment["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if "find-links" in pip:
        environment["UV_FIND_LINKS"] = ",".join(pip["find-links"].split())
    if "trusted-host" in pip:
        environment["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].split())
    if "cert" in pip:
        environment.setdefault("SSL_CERT_FILE", pip["cert"].strip())
    return environment


def _pip_settings(base: Mapping[str, str]) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    files = [str(Path(name.replace("~", base.get("HOME", "~"), 1))) for name in _PIP_FILES]
    try:
        parser.read([*files, base.get("PIP_CONFIG_FILE", os.devnull)])
    except (configparser.Error, UnicodeDecodeError):
        return {}
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update(parser.items(section))
    for name, value in base.items():
        if name.startswith("PIP_") and value:
            settings[name[len("PIP_") :].lower().replace("_", "-")] = value
    return settings
