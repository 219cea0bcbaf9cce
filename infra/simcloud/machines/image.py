"""What a machine's disk image holds: sshd's configuration, a stub GPU, this computer's settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.pip_to_uv import to_uv
from infra.simcloud.machines import Boot
from infra.simcloud.machines.elf import SONAME, libcuda

FILES = Path(__file__).resolve().parents[1] / "image"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DRIVER_VERSION = "570.124.06"
# What providers start: its name at the root of a machine's disk, and its file here.
STARTS = {"start.sh": "start.sh", ".launch": "launch.sh", ".cloud-init": "cloud_init.sh"}

_CARRIED = re.compile(
    r"SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|PIP_CERT"
    r"|(?i:https?_proxy|all_proxy|no_proxy)"
)
_UV_TOML_LISTS = {
    "UV_INDEX": ("extra-index-url", " "),
    "UV_FIND_LINKS": ("find-links", ","),
    "UV_INSECURE_HOST": ("allow-insecure-host", " "),
}
_UV_TOML_TEXTS = {"UV_DEFAULT_INDEX": "index-url", "UV_INDEX_STRATEGY": "index-strategy"}


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How this computer reaches packages, and which of its folders a machine must see for that."""

    environment: dict[str, str]
    uv_toml: str
    python: Path  # prefix of the interpreter
    uv: Path | None
    folders: tuple[Path, ...]  # local sources of packages


def read_host() -> HostSettings:
    """This computer's settings, read now and written nowhere but into images."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    uv = to_uv(listed.stdout)
    carried = {name: value for name, value in os.environ.items() if _CARRIED.fullmatch(name)}
    for name in ("SSL_CERT_FILE", "ALL_PROXY"):
        if name in uv:
            carried.setdefault(name, uv[name])
    if any(name.lower().endswith("s_proxy") or name == "ALL_PROXY" for name in carried):
        excepted = carried.get("NO_PROXY", carried.get("no_proxy", ""))
        carried["NO_PROXY"] = carried["no_proxy"] = f"{excepted},127.0.0.1".lstrip(",")
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    return HostSettings(
        environment=carried,
        uv_toml=to_uv_toml(uv),
        python=Path(sys.base_prefix).resolve(),
        uv=Path(found).resolve() if found else None,
        folders=tuple(local_sources(uv)),
    )


def to_uv_toml(uv: Mapping[str, str]) -> str:
    """uv's configuration file for what its environment variables would say.

    >>> to_uv_toml({"UV_FIND_LINKS": "/a,/b", "UV_NO_INDEX": "1"})
    'find-links = ["/a", "/b"]\\nno-index = true\\n'
    """
    lines = []
    for name, value in uv.items():
        if name in _UV_TOML_LISTS:
            key, separator = _UV_TOML_LISTS[name]
            lines.append(f"{key} = {json.dumps(value.split(separator))}")
        elif name in _UV_TOML_TEXTS:
            lines.append(f"{_UV_TOML_TEXTS[name]} = {json.dumps(value)}")
        elif name == "UV_NO_INDEX":
            lines.append("no-index = true")
    return "".join(f"{line}\n" for line in lines)


def local_sources(uv: Mapping[str, str]) -> Iterable[Path]:
    """Folders of this computer that uv's settings name."""
    words = f"{uv.get('UV_DEFAULT_INDEX', '')} {uv.get('UV_INDEX', '')}".split()
    for word in [*words, *uv.get("UV_FIND_LINKS", "").split(",")]:
        url = urlsplit(word)
        path = Path(unquote(url.path))
        if url.scheme in ("", "file") and path.is_absolute() and path.exists():
            yield path


def write_image(folder: Path, boot: Boot, host: HostSettings, sshd_config: str) -> None:
    """The files in which one machine differs from the computer below it."""
    files = {
        **{name: (FILES / file).read_text() for name, file in STARTS.items()},
        "usr/local/bin/nvidia-smi": (FILES / "nvidia-smi").read_text(),
        "etc/simcloud-gpu": gpu_facts(boot),
        "etc/ssh/sshd_config": sshd_config,
        "etc/shadow": "root:*:19000:0:99999:7:::\n",
        "etc/hostname": f"{boot.machine_id}\n",
        "etc/hosts": f"127.0.0.1 localhost {boot.machine_id}\n",
        "etc/uv/uv.toml": host.uv_toml,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (folder / "etc/shadow").chmod(0o600)
    gpus = 0 if boot.gpu_dead else boot.gpu_count
    write_libcuda(folder / library_folder(), gpus, boot.cuda_version, boot.cuda_error)
    flags = folder / "run/simcloud"
    flags.mkdir(parents=True, exist_ok=True)
    (flags / "gpu-dead").unlink(missing_ok=True)
    if boot.gpu_dead:
        (flags / "gpu-dead").touch()


def write_libcuda(folder: Path, gpu_count: int, version: str = "12.8", error: int = 0) -> None:
    """The stub library, where there is one for this architecture."""
    try:
        library = libcuda(gpu_count, version=version, error=error)
    except KeyError:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SONAME).write_bytes(library)


def library_folder() -> str:
    """Where the dynamic linker looks, relative to the root."""
    debian = f"usr/lib/{os.uname().machine}-linux-gnu"
    return debian if Path("/", debian).is_dir() else "usr/lib64"


def gpu_facts(boot: Boot) -> str:
    """What the stub nvidia-smi says, as shell variables."""
    return (
        f"gpu_name='{boot.gpu_name}'\n"
        f"gpu_memory_mib={boot.gpu_memory_mib}\n"
        f"gpu_count={boot.gpu_count}\n"
        f"compute_capability={boot.compute_capability}\n"
        f"driver_version={DRIVER_VERSION}\n"
    )


def sshd_config(environment: Mapping[str, str], sshd: tuple[str, int]) -> str:
    """sshd of a machine: keys only; logins see the image's variables, not the provider's."""
    host, port = sshd
    set_env = " ".join(f'"{name}={value}"' for name, value in environment.items())
    return (
        f"Port {port}\n"
        f"ListenAddress {host}\n"
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UsePAM no\n"
        "PrintMotd no\n"
        "MaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
        f"SetEnv {set_env}\n"
    )
