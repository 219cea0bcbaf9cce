"""Ports that can be cut: refused, the same number again, silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from infra.simcloud.net import LOOPBACK, Listener, Relay


@pytest.fixture
def echo() -> Iterator[Listener]:
    def serve(connection: socket.socket) -> None:
        while data := connection.recv(100):
            connection.sendall(data)

    listener = Listener(serve)
    yield listener
    listener.close()


@pytest.fixture
def relay(echo: Listener) -> Iterator[Relay]:
    relay = Relay((LOOPBACK, echo.port))
    yield relay
    relay.close()


def ask(port: int) -> bytes:
    with socket.create_connection((LOOPBACK, port), 2) as client:
        client.sendall(b"hello")
        return client.recv(100)


def test_a_relay_passes_bytes_both_ways_and_the_end_too(relay: Relay) -> None:
    with socket.create_connection((LOOPBACK, relay.port), 2) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""


def test_a_cut_ends_what_lives_and_refuses_what_is_new_until_it_is_restored(
    relay: Relay,
) -> None:
    with socket.create_connection((LOOPBACK, relay.port), 2) as client:
        client.sendall(b"hello")
        client.recv(100)
        relay.cut()
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        ask(relay.port)

    relay.open()
    assert ask(relay.port) == b"hello"


def test_a_port_that_does_not_listen_is_refused_and_taken() -> None:
    relay = Relay(None, listening=False)

    with pytest.raises(ConnectionRefusedError):
        ask(relay.port)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, relay.port))
    relay.close()


def test_a_silent_relay_accepts_and_says_nothing(relay: Relay) -> None:
    relay.silent = True

    with (
        socket.create_connection((LOOPBACK, relay.port), 0.2) as client,
        pytest.raises(TimeoutError),
    ):
        client.sendall(b"hello")
        client.recv(100)


def test_a_relay_to_nobody_hangs_up(echo: Listener, relay: Relay) -> None:
    echo.close()

    with socket.create_connection((LOOPBACK, relay.port), 2) as client:
        assert client.recv(100) == b""
