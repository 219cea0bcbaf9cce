"""A program that writes a line without end: it costs nobody memory, and its log comes home."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.e2e.places import Place, own_machine_at_length


def peak_bytes(process_id: int) -> int:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def agent_of(person: Person) -> int:
    """The agent on the one machine of a person."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            folder = str((entry / "cwd").readlink())
            if b"agent.pyz\0start" in command and f"-{person.home_id}-" in folder:
                return int(entry.name)
    raise AssertionError("no agent lives")


END = "the end"
LOG_LIMIT_BYTES = 1 << 30


@own_machine_at_length
@pytest.mark.parametrize(
    ("size_mib", "limit_s"), [(64, 90), pytest.param(1024, 500, marks=pytest.mark.slow)]
)
@pytest.mark.timeout(600)
def test_a_line_without_end_costs_nobody_memory(
    person: Person, place: Place, size_mib: int, limit_s: float
) -> None:
    size_bytes = size_mib << 20
    command = f"yes | tr -d '\\\\n' | head -c {size_bytes}; echo; echo {END}"
    job = own_code(person, command=command, providers=place.provider)

    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("collecting", limit_s)
        agent_bytes = peak_bytes(agent_of(person))
        person.waits_for_state("returning", limit_s)
        (driver,) = person.driver_ids()
        driver_bytes, command_bytes = peak_bytes(driver), peak_bytes(process.pid)
        with place.hurrying():
            followed = person.ends(process, limit_s)

    assert followed.code == 0, followed.err + person.driver_log()
    receipt = followed.json()
    assert max(agent_bytes, driver_bytes, command_bytes) < 200 << 20
    assert agent_bytes < 64 << 20
    is_cut = size_bytes >= LOG_LIMIT_BYTES
    end = f"[gpulease: the log has {LOG_LIMIT_BYTES} bytes; the rest is dropped]" if is_cut else END
    log_bytes = Path(receipt["log"]).stat().st_size
    assert log_bytes == min(size_bytes, LOG_LIMIT_BYTES) + len(f"\n{end}\n")
    place.has_all_back(receipt, person)
    with person.starts("logs", "last") as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            assert len(line) < 5000
            if number == 2000:  # the pipe is full: it waits in the middle of the log
                assert peak_bytes(process.pid) < 200 << 20
    assert line == f"{end}\n"
    assert number > 2000
