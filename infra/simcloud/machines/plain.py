"""The fallback: an sshd of the caller's own user, without namespaces. Needs Linux.

What it cannot do: a machine sees this computer's files, `/proc/1/environ` is not the machine's,
and its disk cannot be made full.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.simcloud.machines import Boot, NotPossible
from infra.simcloud.machines.image import (
    FILES,
    PATH,
    STARTS,
    gpu_facts,
    read_host,
    sshd_config,
)
from infra.simcloud.machines.pool import CACHE, Pool
from infra.simcloud.machines.spawning import Spawner, run_script

_KILL_S = 10.0
_INIT = Path(__file__).with_name("plain_init.py")


class PlainBackend:
    """A process tree with a home of its own."""

    kind = "plain"

    def __init__(self, *, sshd_port: int, pool: Pool | None = None) -> None:
        """As for NamespaceBackend. Raises: NotPossible."""
        if sys.platform != "linux":
            raise NotPossible("simulated machines need Linux; `--provider local` does not")
        self._sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if self._sshd is None:
            raise NotPossible("there is no sshd here: install openssh-server")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        host = read_host()
        self.user = getpass.getuser()
        self._sshd_port = sshd_port
        self._pool = pool or Pool()
        self._spawner = Spawner()
        self._started = 0
        self._uv_toml = self._pool.own / "uv.toml"
        self._uv_toml.write_text(host.uv_toml)
        tools = [str(path) for path in (host.uv and host.uv.parent, host.python / "bin") if path]
        self.environment: Mapping[str, str] = {
            "PATH": ":".join([PATH, *tools]),
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": str(self._pool.folder / CACHE),
            "UV_CONFIG_FILE": str(self._uv_toml),
            **host.environment,
        }

    def start(self, boot: Boot, on_line: Callable[[str], None]) -> PlainProcess:
        disk = self._pool.disk(boot.machine_id)
        home = disk / "root"
        self._started += 1
        sshd = f"127.0.{1 + self._started // 250 % 250}.{1 + self._started % 250}", self._sshd_port
        paths = {
            "/usr/sbin/sshd": f"{self._sshd} -f {disk}/etc/ssh/sshd_config",
            "/etc/ssh": f"{disk}/etc/ssh",
            "/etc/rp_environment": f"{disk}/etc/rp_environment",
            "/etc/simcloud-gpu": f"{disk}/etc/simcloud-gpu",
            "/run/simcloud": f"{disk}/run",
        }
        (disk / "etc/ssh").mkdir(parents=True, exist_ok=True)
        (disk / "run").mkdir(exist_ok=True)
        (disk / "bin").mkdir(exist_ok=True)
        own = {
            **boot.environment,
            "HOME": str(home),
            "PATH": f"{disk / 'bin'}:{boot.environment.get('PATH', PATH)}",
        }
        image = {name: own[name] for name in ("PATH", "HOME", *self.environment)}
        config = sshd_config(image, sshd).replace("/etc/ssh", f"{disk}/etc/ssh")
        config += (
            f"AuthorizedKeysFile {home}/.ssh/authorized_keys\n"
            f"StrictModes no\nPidFile {disk}/run/sshd.pid\n"
        )
        (disk / "etc/ssh/sshd_config").write_text(config)
        (disk / "etc/simcloud-gpu").write_text(gpu_facts(boot))
        files = {disk / name: file for name, file in STARTS.items()}
        for at, file in (files | {disk / "bin/nvidia-smi": "nvidia-smi"}).items():
            at.write_text(_with_paths((FILES / file).read_text(), paths))
            at.chmod(0o755)
        if boot.gpu_dead:
            (disk / "run/gpu-dead").touch()
        argv = list(boot.argv)
        for name in STARTS:
            argv = [word.replace(f"/{name}", f"{disk}/{name}") for word in argv]
        init = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-I", str(_INIT)]
        process = self._spawner.spawn([*init, *argv], own, on_line)
        return PlainProcess(process, sshd, disk)

    def wipe(self, machine_id: str, *, keep_volume: bool = False) -> None:
        self._pool.wipe(machine_id, keep_volume=keep_volume)

    def close(self) -> None:
        self._spawner.close()
        self._pool.close()


class PlainProcess:
    """The supervisor of one machine's processes."""

    def __init__(self, process: subprocess.Popen[bytes], sshd: tuple[str, int], disk: Path) -> None:
        self.sshd: tuple[str, int] | None = sshd
        self._process = process
        self._disk = disk

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_KILL_S)

    def break_gpu(self) -> None:
        (self._disk / "run/gpu-dead").touch()

    def run(self, script: str, *words: str) -> str:
        return run_script([], {"HOME": str(self._disk / "root"), "PATH": PATH}, script, words)

    def fill_disk(self) -> None:
        raise NotPossible("a machine without namespaces has no disk of its own")


def _with_paths(text: str, paths: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, paths)), lambda found: paths[found[0]], text)
