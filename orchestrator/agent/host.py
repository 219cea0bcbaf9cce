"""How busy the machine is."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Mapping

from . import protocol
from .records import Record, read_record, write_record
from .runner import Runner

_GPU_QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used"]
_GPU_FORMAT = ["--format=csv,noheader,nounits"]
_GPU_TIMEOUT_S = 10.0
_CGROUP = Path("/sys/fs/cgroup")


class Host:
    """Takes samples; CPU is the share since the last one."""

    def __init__(self, work: Path, env: Mapping[str, str], runner: Runner) -> None:
        self._work = work
        self._env = env
        self._runner = runner
        self._has_gpu = shutil.which("nvidia-smi", path=env.get("PATH")) is not None
        self._last_cpu = _cpu_ticks()
        self._first_bytes = _first_counters(work)

    def sample(self) -> Record:
        """The fields of a `host` event; what cannot be read is left out."""
        sample: Record = {"gpus": self._gpus()}
        busy, total = _cpu_ticks()
        passed = total - self._last_cpu[1]
        if passed > 0:
            sample["cpu_percent"] = round(100.0 * (busy - self._last_cpu[0]) / passed, 1)
        self._last_cpu = (busy, total)
        used_bytes = _ram_used_bytes()
        if used_bytes is not None:
            sample["ram_used_bytes"] = used_bytes
        sample.update(self._traffic())
        with contextlib.suppress(OSError):
            sample["disk_free_bytes"] = shutil.disk_usage(str(self._work)).free
        return sample

    def _traffic(self) -> Record:
        """Bytes over the network since the first agent of this machine began."""
        counters = _network_bytes()
        if counters is None:
            return {}
        received, sent = (max(0, now - first) for now, first in zip(counters, self._first_bytes))
        return {"received_bytes": received, "sent_bytes": sent}

    def _gpus(self) -> list[dict[str, float]]:
        if not self._has_gpu:
            return []
        argv = [*_GPU_QUERY, *_GPU_FORMAT]
        answer = self._runner.capture(argv, cwd=self._work, env=self._env, timeout_s=_GPU_TIMEOUT_S)
        gpus: list[dict[str, float]] = []
        for line in (answer[1] if answer else "").splitlines():
            with contextlib.suppress(ValueError):
                percent, used_mib = (float(word) for word in line.split(","))
                gpus.append({"util": percent, "memory_used_bytes": int(used_mib) << 20})
        return gpus


def _first_counters(work: Path) -> tuple[int, int]:
    """What the counters said first; kept, so that a second agent counts on."""
    path = work / protocol.TRAFFIC_FILE
    known = read_record(path)
    if known is None:
        received, sent = _network_bytes() or (0, 0)
        known = {"received_bytes": received, "sent_bytes": sent}
        with contextlib.suppress(OSError):
            write_record(path, known)
    first = [known.get(key) for key in ("received_bytes", "sent_bytes")]
    received, sent = (one if isinstance(one, int) else 0 for one in first)
    return received, sent


def _network_bytes() -> tuple[int, int] | None:
    """Received and sent by every interface but the loopback."""
    received = sent = 0
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
        for line in lines:
            name, _, counters = line.partition(":")
            if name.strip() != "lo":
                fields = counters.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
    except (OSError, ValueError, IndexError):
        return None
    return received, sent


def oom_kills() -> int:
    """How often the kernel killed something of this machine for its memory."""
    for name in ("memory.events", "memory/memory.oom_control"):
        with contextlib.suppress(OSError, ValueError):
            for line in (_CGROUP / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _cpu_ticks() -> tuple[int, int]:
    """Ticks that the processors were busy, and all ticks."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    return 0, 0


def _ram_used_bytes() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        if (_CGROUP / "memory.max").read_text().strip() != "max":
            return int((_CGROUP / "memory.current").read_text())
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        return (kib["MemTotal"] - kib["MemAvailable"]) << 10
    return None
