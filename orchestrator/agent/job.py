"""The job from set-up to manifest, in its own thread."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Mapping

from . import protocol
from .checkpoints import CheckpointWatch
from .clock import Clock
from .environment import program_environment, read_secrets
from .gpu import NoGpu, check_gpu
from .host import oom_kills
from .hub import DownloadFailed, Hub
from .log import Log, last_words
from .manifest import list_files
from .processes import Children
from .records import Events, Record, Reserve, is_disk_full, read_record
from .restart import Restarts
from .runfile import Model, RunFile
from .runner import Ended, Runner
from .setup import Setup, SetupFailed, Stopped
from .stopping import StopWish

_NOTES_TOLD = 20
_NEARLY_FULL_BYTES = 1 << 20
_NOT_FOUND = 127  # what a shell answers for a command that it cannot start
_OUT_OF_GPU_MEMORY = ("CUDA out of memory", "torch.OutOfMemoryError", "CUDA error: out of memory")
_OUT_OF_DISK = ("No space left on device", "Disk quota exceeded")


@dataclass
class Tools:
    """What the job works with."""

    clock: Clock
    log: Log
    events: Events
    reserve: Reserve
    children: Children
    wish: StopWish
    runner: Runner
    checkpoints: CheckpointWatch


@dataclass
class Ending:
    """How the job ended, before it is an exit record."""

    why: str
    phase: str
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False


class Job:
    """One job. `over` is set when all its records are written, whatever happened; `over_s` says
    since when, in elapsed seconds.
    """

    def __init__(self, work: Path, run: RunFile, base: Mapping[str, str], tools: Tools) -> None:
        self._work = work
        self._run = run
        self._base = base
        self._tools = tools
        self._secrets = read_secrets(work)
        self._program_env = program_environment(run, work, base, self._secrets)
        self._started_s: float | None = None
        self.over = threading.Event()
        self.over_s = 0.0

    def perform(self) -> None:
        """Run the job to its end; raises nothing."""
        self._reach_an_end(self._attempt)

    def conclude(self) -> None:
        """After an agent of this job that died: give back what is there; raises nothing."""
        self._reach_an_end(self._abandoned)

    def resume(self) -> None:
        """After an agent of this job that died: go on with the job; raises nothing."""
        self._reach_an_end(self._another_attempt)

    def _reach_an_end(self, attempt: Callable[[], Ending]) -> None:
        try:
            self._finish(attempt())
        except BaseException:
            traceback.print_exc()
        finally:
            self.over_s = self.over_s or self._tools.clock.elapsed_s()
            self.over.set()

    def _attempt(self) -> Ending:
        wish = self._tools.wish
        try:
            self._prepare()
            return self._program()
        except Stopped:
            message = wish.reason or f"stopped before the program ran ({wish.why})"
            return Ending(wish.why, "setup", message)
        except NoGpu as error:
            return Ending(protocol.WHY_NO_GPU, "setup", str(error))
        except DownloadFailed as error:
            return Ending(protocol.WHY_SETUP, "download", str(error))
        except SetupFailed as error:
            return Ending(protocol.WHY_SETUP, "setup", str(error))
        except Exception as error:  # a fault of the agent must still become an exit record
            traceback.print_exc()
            why, phase = protocol.WHY_SETUP, "setup"
            if self._started_s is not None:
                why, phase = protocol.WHY_FINISHED, "program"
            return Ending(why, phase, f"the agent failed: {type(error).__name__}: {error}")

    def _another_attempt(self) -> Ending:
        self._end_strays()
        self._tools.events.add("resumed")
        return self._attempt()

    def _end_strays(self) -> None:
        """What the other agent left running gets its grace, and then nothing of it runs on."""
        label = f"GPULEASE_LABEL={self._run.label}"  # all that an agent starts has it
        self._tools.children.end_strays(label.encode(), self._run.grace_s)

    def _abandoned(self) -> Ending:
        self._end_strays()
        return Ending(protocol.WHY_FINISHED, "program", "the agent died in mid-job")

    def _prepare(self) -> None:
        """Environment and model side by side; the first failure ends the other half."""
        for name in (protocol.CODE_DIR, protocol.OUTPUT_DIR, protocol.CHECKPOINTS_DIR):
            (self._work / name).mkdir(exist_ok=True)
        failures: list[Exception] = []
        self._forget_other_model()
        halves = [threading.Thread(target=self._set_up, args=(failures,))]
        if self._run.model is not None:
            arguments = (self._run.model, failures)
            halves.append(threading.Thread(target=self._download, args=arguments))
        for half in halves:
            half.start()
        for half in halves:
            half.join()
        if self._tools.wish.is_asked():
            raise Stopped
        if failures:
            raise failures[0]

    def _forget_other_model(self) -> None:
        """Remove the model of an earlier job of this machine, unless it is this job's too."""
        mark, model = self._work / protocol.MODEL_MARK, self._run.model
        wanted = f"{model.endpoint} {model.id}@{model.revision}" if model is not None else ""
        with contextlib.suppress(OSError):
            if mark.read_text() == wanted:
                return
            mark.unlink()
        if model is not None:
            shutil.rmtree(str(self._work / protocol.MODEL_DIR), ignore_errors=True)
            mark.write_text(wanted)

    def _set_up(self, failures: list[Exception]) -> None:
        tools = self._tools
        try:
            with self._phase("setup"):
                Setup(self._work, self._run, self._base, tools.runner, tools.log).make_environment()
                if self._run.setup:
                    self._run_setup_command(self._run.setup)
                if self._run.device == "cuda":
                    check_gpu(tools.runner, tools.log, self._work, self._program_env)
        except Exception as error:  # raised again in the job's thread
            failures.append(error)
            tools.runner.abort.set()

    def _run_setup_command(self, command: str) -> None:
        self._tools.log.note(f"setup: {command}")
        code = self._work / protocol.CODE_DIR
        ended = self._tools.runner.run(_shell(command), cwd=code, env=self._program_env)
        if not ended.ok:
            words = last_words(self._tools.log.tail())
            raise SetupFailed(f"the setup command ended with {_said(ended)}: {words}")

    def _download(self, model: Model, failures: list[Exception]) -> None:
        runner, wish = self._tools.runner, self._tools.wish

        def wait(seconds: float) -> bool:
            return runner.abort.is_set() or wish.wait(seconds) or runner.abort.is_set()

        hub = Hub(model.endpoint, self._secrets.get("HF_TOKEN"), wait)
        try:
            with self._phase("download") as details:
                size_bytes = hub.download(model, self._work / protocol.MODEL_DIR)
                details["detail"] = f"{size_bytes} bytes"
        except Exception as error:  # raised again in the job's thread
            full = isinstance(error, OSError) and is_disk_full(error)
            problem = error if isinstance(error, DownloadFailed) else None
            words = f"{model.id} cannot be written: {_OUT_OF_DISK[0]}" if full else repr(error)
            failures.append(problem or DownloadFailed(words))
            runner.abort.set()

    def _program(self) -> Ending:
        tools = self._tools
        with self._phase("program"):
            self._started_s = tools.clock.now_s()
            ended, starved = self._run_program()
        why = tools.wish.why or protocol.WHY_FINISHED
        tail = tools.log.tail()
        failed = not ended.ok and not ended.killed
        words = [tools.wish.reason, _said(ended) if ended.signal else ""]
        if failed:
            words.append(last_words(tail) or _said(ended))
        return Ending(
            why,
            "program",
            ": ".join(word for word in words if word),
            ended.exit_code,
            ended.signal,
            out_of_memory=failed
            and (starved or any(words in tail for words in _OUT_OF_GPU_MEMORY)),
        )

    def _run_program(self) -> tuple[Ended, bool]:
        """Run the program; once killed, again from its newest checkpoint while it gets further.

        Returns: how its last life ended, and whether the kernel killed something meanwhile.
        """
        tools, command = self._tools, self._run.command
        argv = _shell(command) if isinstance(command, str) else command
        restarts = Restarts(self._work, by_shell=isinstance(command, str))
        code = self._work / protocol.CODE_DIR
        while True:
            before = oom_kills()
            try:
                env = {**self._program_env, **self._meter()}
                ended = tools.runner.run(argv, cwd=code, env=env, graceful=True)
            except OSError as error:
                tools.log.note(f"{argv[0]}: {error.strerror}")
                return Ended(_NOT_FOUND, None), False
            checkpoint = None if tools.wish.is_asked() else restarts.after(ended)
            if checkpoint is None:
                return ended, oom_kills() > before
            tools.checkpoints.look()
            tools.log.note(f"{_said(ended)}; started again from {checkpoint.path}")
            number = restarts.signal_of(ended)
            tools.events.add("restarted", signal=number, step=checkpoint.step)

    def _meter(self) -> dict[str, str]:
        """What the machine costs, and what the run has cost until now; it goes into model cards."""
        cost = self._run.cost
        if cost is None:
            return {}
        hours = max(0.0, self._tools.clock.now_s() - self._run.created_s) / 3600
        spent_usd = cost.before_usd + cost.usd_per_hour * hours
        return {
            "GPULEASE_USD_PER_HOUR": f"{cost.usd_per_hour:.6g}",
            "GPULEASE_SPENT_USD": f"{spent_usd:.6f}",
        }

    def _finish(self, ending: Ending) -> None:
        tools = self._tools
        with self._phase("flush"):
            tools.children.kill_all()
            tools.checkpoints.look()
            if tools.log.is_cut:
                tools.events.add("message", text="log.txt reached its limit; the rest is dropped")
            # A second agent finds how the program ended, where the first one still wrote it.
            record = read_record(self._work / protocol.EXIT_FILE) or self._exit_record(ending)
            tools.log.close()
            tools.reserve.write(self._work / protocol.EXIT_FILE, record)
            tools.events.add("exited", **record)
            files, left, notes = list_files(self._work)
            for note in notes[:_NOTES_TOLD]:
                tools.events.add("message", text=note)
            manifest: Record = {
                "protocol": protocol.PROTOCOL,
                "at": tools.clock.now_s(),
                "files": files,
                "left": left,
            }
            tools.reserve.write(self._work / protocol.MANIFEST_FILE, manifest)
        self.over_s = tools.clock.elapsed_s()
        tools.events.add("ready", manifest=True)

    def _exit_record(self, ending: Ending) -> Record:
        said = "" if ending.exit_code == 0 else ending.message + self._tools.log.tail()
        full = self._tools.log.disk_was_full or any(words in said for words in _OUT_OF_DISK)
        with contextlib.suppress(OSError):
            full = full or shutil.disk_usage(str(self._work)).free < _NEARLY_FULL_BYTES
        return {
            "protocol": protocol.PROTOCOL,
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "why": ending.why,
            "phase": ending.phase,
            "started_at": self._started_s,
            "ended_at": self._tools.clock.now_s(),
            "message": ending.message,
            "out_of_memory": ending.out_of_memory,
            "disk_full": full,
        }

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[Record]:
        """Tell of a phase's start and end; what is put into the record goes with the end."""
        clock, events = self._tools.clock, self._tools.events
        started_s = clock.elapsed_s()
        events.add("phase", phase=name, state="started")
        details: Record = {}
        try:
            yield details
        finally:
            seconds = round(clock.elapsed_s() - started_s, 3)
            events.add("phase", phase=name, state="ended", seconds=seconds, **details)


def _shell(command: str) -> list[str]:
    return ["/bin/sh", "-c", command]


def _said(ended: Ended) -> str:
    if ended.signal is None:
        return f"exit code {ended.exit_code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(ended.signal).name}"
    return f"killed by signal {ended.signal}"
