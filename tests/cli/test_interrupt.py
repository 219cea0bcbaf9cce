from __future__ import annotations

import signal
import threading

import pytest

from orchestrator.cli.interrupt import ctrl_c_waits


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_comes_after_the_block() -> None:
    done: list[str] = []

    with pytest.raises(KeyboardInterrupt), ctrl_c_waits():
        press()
        done.append("the rest of the block")

    assert done


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)

    with ctrl_c_waits():
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_of_the_block_is_told_before_ctrl_c() -> None:
    with pytest.raises(ValueError, match="ours"), ctrl_c_waits():
        press()
        raise ValueError("ours")


def test_another_thread_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with ctrl_c_waits():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
