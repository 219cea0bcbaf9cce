"""Machines in namespaces of their own: root, processes, host name. Needs root on Linux."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from infra.simcloud.machines import Boot, NotPossible
from infra.simcloud.machines.elf import SONAME
from infra.simcloud.machines.image import (
    FILES,
    PATH,
    HostSettings,
    library_folder,
    read_host,
    sshd_config,
    write_image,
    write_libcuda,
)
from infra.simcloud.machines.pool import CACHE, Pool
from infra.simcloud.machines.spawning import Spawner, children, run_script

_KILL_S = 10.0
_UNSHARE = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child",
    "/bin/sh",
)  # fmt: skip
# The disk is full: what is there can be read, and what is written lands on a full tmpfs.
_FILL = """set -e
full=/run/simcloud/full
mkdir -p $full
mount -t tmpfs -o size=64k simcloud-full $full
for folder in root workspace; do
  mkdir -p $full/$folder/upper $full/$folder/work
  at=/simcloud/$0/$folder
  mount -t overlay -o lowerdir=$at,upperdir=$full/$folder/upper,workdir=$full/$folder/work \\
    simcloud-full $at
done
cat /dev/zero >$full/ballast 2>/dev/null || true
"""


class NamespaceBackend:
    """A root filesystem over this computer's own, writable and gone with the machine.

    The network is shared, and so is the mount of all disks: a machine that looks for the others'
    under /simcloud finds them.
    """

    kind = "namespaces"
    user = "root"

    def __init__(self, *, sshd_port: int, shared: Path, pool: Pool | None = None) -> None:
        """`shared` is a folder that every machine sees, read-only, at its own path.

        `sshd_port` is bound by the caller on 127.0.0.1, hence free on every other loopback
        address; each machine listens there on an address of its own.

        Raises: NotPossible.
        """
        _check()
        self._host = read_host()
        self._shared = shared
        self._sshd_port = sshd_port
        self._pool = pool or Pool()
        self._spawner = Spawner()
        self._started = 0
        python = self._host.python
        at_end = "" if python == Path("/usr") else f":{python / 'bin'}"
        self.environment: Mapping[str, str] = {
            "PATH": PATH + at_end,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "UV_CACHE_DIR": f"/simcloud/{CACHE}",
            **self._host.environment,
        }

    def start(self, boot: Boot, on_line: Callable[[str], None]) -> NamespaceProcess:
        disk = self._pool.disk(boot.machine_id)
        self._started += 1
        sshd = f"127.0.{1 + self._started // 250 % 250}.{1 + self._started % 250}", self._sshd_port
        config = sshd_config(self.environment, sshd)
        write_image(disk / "image", boot, self._host, config)
        new_root = disk / "mnt"
        new_root.mkdir(exist_ok=True)
        name = f"{self._pool.own.name}/{boot.machine_id}"
        settings = {
            "new_root": str(new_root),
            "pool": str(self._pool.folder),
            "disk": name,
            "host_name": boot.machine_id,
            "shown": shown_folders(self._host, self._shared),
        }
        words = "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items())
        script = disk / "boot.sh"
        script.write_text(words + (FILES / "boot.sh").read_text())
        process = self._spawner.spawn(
            [*_UNSHARE, str(script), *boot.argv], boot.environment, on_line
        )
        return NamespaceProcess(process, sshd, name)

    def wipe(self, machine_id: str, *, keep_volume: bool = False) -> None:
        self._pool.wipe(machine_id, keep_volume=keep_volume)

    def close(self) -> None:
        self._spawner.close()
        self._pool.close()


class NamespaceProcess:
    """The `unshare` that waits for a machine's first process."""

    def __init__(self, process: subprocess.Popen[bytes], sshd: tuple[str, int], disk: str) -> None:
        self.sshd: tuple[str, int] | None = sshd
        self._process = process
        self._disk = disk

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        # The kernel ends a pid namespace before it lets its first process be waited for.
        for pid in children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            self._process.wait(_KILL_S / 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_KILL_S)

    def break_gpu(self) -> None:
        for pid in children(self._process.pid):
            root = Path(f"/proc/{pid}/root")
            (root / "run/simcloud").mkdir(parents=True, exist_ok=True)
            (root / "run/simcloud/gpu-dead").touch()
            (root / library_folder() / SONAME).unlink(missing_ok=True)
            write_libcuda(root / library_folder(), 0)

    def fill_disk(self) -> None:
        for pid in children(self._process.pid):
            subprocess.run([*_enter(pid), "/bin/sh", "-c", _FILL, self._disk], check=True)

    def run(self, script: str, *words: str) -> str:
        environment = {"HOME": "/root", "PATH": PATH}
        return "".join(
            run_script(_enter(pid), environment, script, words)
            for pid in children(self._process.pid)
        )


def _enter(pid: int) -> list[str]:
    return ["nsenter", "--target", str(pid), "--mount", "--root", "--wd=/"]


def shown_folders(host: HostSettings, shared: Path) -> str:
    """Shell lines that make folders of this computer visible inside."""
    paths = [shared]
    paths += [
        path
        for path in (host.python, *host.folders)
        if path.parts[1:] and path.parts[1] not in ("usr", "etc", "opt", "var", "lib")
    ]
    lines = [shlex.join(["show", str(path), str(path)]) for path in dict.fromkeys(paths)]
    if host.uv:
        lines.append(shlex.join(["show", str(host.uv), "/usr/local/bin/uv"]))
    return "\n".join(lines)


def _check() -> None:
    """Raises: NotPossible."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NotPossible("namespaces need root")
    where = f"{os.environ.get('PATH', '')}:/usr/sbin"
    tools = ("setpriv", "unshare", "nsenter", "sshd")
    if missing := [name for name in tools if shutil.which(name, path=where) is None]:
        raise NotPossible(f"not installed: {', '.join(missing)}")
    probe = (
        "mount --make-rprivate / && mount -t tmpfs simcloud /mnt && cd /mnt && mkdir u w m"
        " && mount -t overlay -o lowerdir=/usr,upperdir=u,workdir=w simcloud m"
        " && mkdir p && mount -t proc proc p"
    )
    tried = subprocess.run([*_UNSHARE, "-c", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NotPossible(f"this computer does not allow it: {tried.stderr.strip()}")
