from __future__ import annotations

import socket
import threading
import time

from tests.benchmarks.bench_machine import Knocking


def test_the_moment_is_when_sshd_says_its_name_not_when_the_port_opens() -> None:
    named_s: list[float] = []

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            server.accept()[0].close()
            connection, _ = server.accept()
            named_s.append(time.time())
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with Knocking(lambda: server.getsockname()[1]) as sshd:
            thread.join(10)
            sshd.wait()

    assert named_s[0] <= sshd.answered_s <= named_s[0] + 1
