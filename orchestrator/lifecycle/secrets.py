"""How a secret travels to a machine: over stdin, into a file that only its owner reads."""

from __future__ import annotations

from orchestrator.errors import AgentFault
from orchestrator.remote.paths import shown
from orchestrator.remote.shell import Shell


def send_secret(shell: Shell, name: str, data: bytes, *, in_memory: bool) -> None:
    """Put `data` under `name` in the work folder, in place of what was there.

    Args:
        in_memory: into a file on tmpfs, to which the work folder only holds a link. Not on a
            computer of one's own, where the work folder is all that is removed in the end.

    Raises: Unreachable; AgentFault when the machine could not write it.
    """
    if not in_memory:
        shell.write(name, data)
        return
    reply = shell.run(
        f"umask 077; d=/dev/shm; [ -w $d ] || d=.; o=$(readlink {name} || :); "
        f'f=$(mktemp $d/.gl-XXXXXXXXXX) && cat > "$f" && ln -sfn "$f" {name} && '
        f'case "$o" in */.gl-*) rm -f "$o";; esac',
        stdin=data,
    )
    if reply.exit_code != 0:
        words = reply.stderr.decode(errors="replace").strip()[-200:]
        raise AgentFault(f"{name} could not be written on the machine: {shown(words)}")
