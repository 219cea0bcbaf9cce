"""A workstation in the suite with real processes: how a story gets one, and must leave it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.person import Person
from tests.providers.ssh_host.workstation import Workstation

_LAST_S = 10.0  # a connection ends with the process that opened it, a moment later


class Tower:
    """A workstation with one GPU, and what was on it before."""

    def __init__(self, workstation: Workstation) -> None:
        self._workstation = workstation
        self._before = workstation.listing()

    def lets_in(self, person: Person) -> None:
        person.config.write_text(self._workstation.config())

    def has_machine(self) -> bool:
        return any(self._workstation.home.glob("gpulease/gl1-*"))

    def goes_off(self) -> None:
        """Nobody reaches it any more; what runs there goes on."""
        self._workstation.sshd.stop()

    def comes_back(self) -> None:
        self._workstation.sshd.start()

    def left(self, person: Person) -> Iterator[str]:
        """One sentence for each thing that is not as it was."""
        if self._workstation.listing() != self._before:
            yield "the workstation's home is not as it was"
        if left := self._workstation.processes():
            yield f"{len(left)} processes still run there"
        offers = person.types("offers", "--json").json()["offers"]
        if [offer["id"] for offer in offers if offer["gpu"]] != ["tower L4 x1"]:
            yield f"its GPU is not for anybody: {offers}"
        give_up_at = time.monotonic() + _LAST_S
        while open_ones := self._connections():
            if time.monotonic() > give_up_at:
                yield f"{len(open_ones)} connections to it are left open"
                return
            time.sleep(0.1)

    def _connections(self) -> list[str]:
        """Processes of this computer that are logged in there, or about to be."""
        port, found = f"\0{self._workstation.sshd.port}\0", []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_text(errors="replace")
                if words.startswith("ssh\0") and port in words:
                    found.append(words)
        return found


@contextmanager
def tower(folder: Path, clock: str) -> Iterator[Tower]:
    """A workstation of its own for one story, which shares the cloud's time."""
    workstation = Workstation(folder / "tower", Path(clock))
    workstation.has_gpus(0)
    workstation.sshd.start()
    (workstation.home / "thesis").write_text("precious")
    try:
        yield Tower(workstation)
    finally:
        workstation.sshd.stop()
