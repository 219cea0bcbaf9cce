from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.errors import Unreachable
from orchestrator.remote.bundle import Entry, bytes_entry, file_entry
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.render import agent_zipapp
from orchestrator.remote.shell import Reply, Shell
from orchestrator.remote.sync import (
    WORTH_CONTINUING_BYTES,
    Here,
    difference,
    parse_here,
    synchronize,
)

BIG = random.Random(0).randbytes(3 * WORTH_CONTINUING_BYTES)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Cut:
    """A shell whose connection breaks in a push, once `after_bytes` went through."""

    inner: FolderShell
    after_bytes: int
    pushed_bytes: list[int] = field(default_factory=list)

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        return self.inner.run(command, stdin=stdin, timeout_s=timeout_s)

    def push(self, stream: Iterable[bytes]) -> None:
        self.pushed_bytes.append(0)
        self.inner.push(self._until_cut(stream))

    def _until_cut(self, stream: Iterable[bytes]) -> Iterator[bytes]:
        for piece in stream:
            if self.pushed_bytes[-1] >= self.after_bytes:
                self.after_bytes = 1 << 40
                raise Unreachable("the connection broke")
            self.pushed_bytes[-1] += len(piece)
            yield piece

    def read(self, path: str, offset: int, limit: int) -> bytes:
        return self.inner.read(path, offset, limit)

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self.inner.write(path, data, mode=mode)

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        return self.inner.pull(path, offset, size_bytes)

    def close(self) -> None:
        self.inner.close()


def agent() -> Entry:
    return bytes_entry(protocol.AGENT, agent_zipapp())


def code(name: str, text: str, mode: int = 0o644) -> Entry:
    return bytes_entry(f"code/{name}", text.encode(), mode)


def test_only_what_changed_is_sent_and_what_is_not_wanted_goes(shell: Shell) -> None:
    before = [agent(), code("a.py", "1"), code("pkg/b.py", "2"), code("c.sh", "3", 0o755)]
    synchronize(shell, [*before, Entry("code/link", link="a.py")])
    shell.run("mkdir -p code/__pycache__ && echo x >code/__pycache__/a.pyc && chmod 700 code/c.sh")
    after = [agent(), code("a.py", "1"), code("pkg", "now a file"), code("c.sh", "4", 0o755)]

    found = synchronize(shell, [*after, Entry("code/link", link="c.sh")])

    sent = {entry.path for entry in found.send}
    assert sent == {protocol.AGENT, "code/pkg", "code/c.sh", "code/link"}
    assert set(found.drop) == {"code/__pycache__/a.pyc", "code/pkg/b.py"}
    listed = shell.run("cat code/a.py code/pkg code/c.sh; readlink code/link; find code | sort")
    lines = listed.stdout.decode().split()
    assert lines[-5:] == ["code", "code/a.py", "code/c.sh", "code/link", "code/pkg"]
    assert listed.stdout.startswith(b"1now a file4c.sh")
    again = synchronize(shell, [*after, Entry("code/link", link="c.sh")])
    assert [entry.path for entry in again.send] == [protocol.AGENT] and not again.drop


def test_a_folder_that_is_not_named_stays_as_it_is(shell: Shell) -> None:
    synchronize(shell, [agent(), code("a.py", "1"), bytes_entry("model/weights", b"w")])

    synchronize(shell, [agent(), code("a.py", "1")], [protocol.CODE_DIR])

    assert shell.read("model/weights", 0, 9) == b"w"


def test_a_machine_without_an_agent_is_sent_everything(shell: Shell) -> None:
    shell.run(f"rm {protocol.AGENT}; mkdir code; printf 1 >code/a.py")

    assert len(synchronize(shell, [agent(), code("a.py", "1")]).send) == 2


@pytest.mark.parametrize("cuts", [1, 2])
def test_a_cut_transfer_goes_on_where_it_stood(tmp_path: Path, cuts: int) -> None:
    source, machine = tmp_path / "big.bin", tmp_path / "machine"
    source.write_bytes(BIG)
    entries = [agent(), *(code(f"{n}.py", str(n)) for n in range(20))]
    entries.append(file_entry("data/big.bin", source))
    sent = []
    for _ in range(cuts):
        cut = Cut(FolderShell(machine), WORTH_CONTINUING_BYTES + (2 << 20))
        with pytest.raises(Unreachable):
            synchronize(cut, entries)
        sent += cut.pushed_bytes
    whole = Cut(FolderShell(machine), 1 << 40)

    found = synchronize(whole, entries)
    FolderShell(machine).run(f"python3 {protocol.AGENT} here data")

    assert (machine / "data/big.bin").read_bytes() == BIG
    assert [entry.path for entry in found.send if entry.path.startswith("code/")] == []
    total = sum(sent) + sum(whole.pushed_bytes)
    assert total < len(BIG) + (cuts + 1) * (1 << 20) + (4 << 20)


def test_a_cut_file_that_was_edited_meanwhile_is_sent_anew(tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(b"!" + BIG[1:])
    wanted = file_entry("data/big.bin", source)
    half = BIG[: WORTH_CONTINUING_BYTES + 1]

    found = difference([wanted], {"data/big.bin": Here("644", sha256(half), len(half))})

    assert found.send == (wanted,)


@pytest.mark.parametrize(
    "there",
    [
        Here("755", sha256(b"text"), 4),
        Here("644", sha256(b"test"), 4),
        Here("644", sha256(b"tex"), 3),
        Here("644", sha256(b"text!"), 5),
        Here("link", sha256(b"text"), 4),
    ],
)
def test_a_file_that_differs_in_anything_is_sent(there: Here) -> None:
    wanted = code("a", "text")

    assert difference([wanted], {"code/a": there}).send == (wanted,)
    assert not difference([wanted], {"code/a": Here("644", sha256(b"text"), 4)}).send


def test_a_known_hash_spares_the_reading(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"text")
    known = Entry("code/x", tmp_path / "x", sha256="as it was known")

    assert not difference([known], {"code/x": Here("644", "as it was known", 4)}).send


def test_rows_that_are_cut_or_odd_count_as_absent() -> None:
    good = b"644 aa 3 code/a b.py\0"

    assert parse_here(good + b"644 aa 3 code/cut") == {"code/a b.py": Here("644", "aa", 3)}
    assert parse_here(b"644 aa x code/x\0" + b"644 aa\0\0" + b"6 a 9999999999999999999 p\0") == {}


def test_the_transfer_may_be_stopped_between_two_pieces(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        synchronize(FolderShell(tmp_path / "m"), [code("a", "b")], keep_going=stop)
    assert not (tmp_path / "m/code").exists()
