"""Real commands, a real driver, a real sshd: one of them is killed with SIGKILL, somewhere.

Every worker has a simulated cloud of its own, so that it may let the time go by that a run only
waits for. What a person does after the death is what the documentation says: `attach`, or
`submit` again.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.runs.lease import TOMBSTONE_WATCH_S
from tests.conventions.source import PROJECT
from tests.crash.clouds import CLOUDS
from tests.crash.process_neighbour import Neighbour
from tests.crash.process_points import AHEAD, POINT, TALLY, Point, Tally
from tests.crash.process_records import Records, broken_promises
from tests.crash.process_relay import Relay
from tests.crash.process_store import Stored, look
from tests.crash.process_stories import OWN_MACHINE, Story
from tests.crash.process_tower import Tower, tower
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import COMMAND, Person
from tests.e2e.store import Store

_WATCHED = PROJECT / "tests" / "crash" / "watched"
_ENDS_S = 180.0
_LOOK_S = 0.05
_LOOKING_S = 600.0  # of time that goes by while a label is looked for; a plan is good for 900 s
# The person typed `submit --detach`; follows, and lets the command deal with it; loses the terminal
# together with the driver.
MODES = ("detached", "followed", "power cut")
_URLS = {
    "runpod": ("GPULEASE_RUNPOD_URL", "GPULEASE_RUNPOD_GRAPHQL_URL"),
    "vast": ("GPULEASE_VAST_URL",),
    "lambda": ("GPULEASE_LAMBDA_URL",),
    "paperspace": ("GPULEASE_PAPERSPACE_URL",),
}


@dataclass(slots=True)
class Played:
    """How one story went."""

    story: Story
    point: Point | None
    mode: str
    killed: str  # kind of process, empty when the point was not met
    points: list[Point]
    seconds: float
    broken: list[str]
    report: str

    def __str__(self) -> str:
        return f"{self.story.name} [{self.point}, {self.mode}]"


@dataclass(slots=True)
class _Command:
    """A command that was typed, and where its answer goes."""

    word: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path


class Place:
    """A cloud, and people who use it one after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str], seed: int) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._count = 0
        self._store: Store | None = None
        self.cloud = Cloud(
            folder / "cloud",
            environment,
            *("--boot-s", "0.1", "--speed", "20", "--seed", str(seed), "--no-hub"),
            *("--providers", ",".join(_URLS)),
        )

    def close(self) -> None:
        self.cloud.close()
        if self._store is not None:
            self._store.close()

    def _store_env(self) -> dict[str, str]:
        """What leads to object storage; it starts when it is first needed."""
        if self._store is None:
            self._store = Store(self._folder / "moto.log")
        return self._store.env

    def play(self, story: Story, point: Point | None, *, mode: str, dice: random.Random) -> Played:
        """Let the story happen in a new home, with a death at the point.

        Args:
            mode: one of MODES; drawn when empty.
        """
        self._count += 1
        folder = self._folder / f"{self._count}"
        folder.mkdir()
        tally = Tally(folder / "tally", point)
        began_s = time.monotonic()
        with ExitStack() as stack:
            env = self._environment | self.cloud.env
            for name in set(_URLS) - set(story.providers):
                del env[CLOUDS[name].key]  # nobody asks where they have no account
            unwatched = dict(env)
            for name in (url for one in story.providers for url in _URLS.get(one, ())):
                env[name] = stack.enter_context(Relay(env[name], tally)).url
            env |= {
                TALLY: str(folder / "tally"),
                POINT: str(point) if point else "",
                AHEAD: str(folder / "ahead"),
                "PYTHONPATH": f"{_WATCHED}:{PROJECT}",
            }
            if story.bucket:
                env |= self._store_env()
            person = Person(folder, env)
            own = None
            if OWN_MACHINE in story.providers:
                own = stack.enter_context(tower(folder, env["GPULEASE_CLOCK"]))
                own.lets_in(person)
            story.begin(self.cloud)
            neighbour = None
            if story.neighbour:
                neighbour = Neighbour(folder, unwatched, self.cloud, story)
                stack.callback(neighbour.close)
            before = Records.now(self.cloud)
            telling = Telling(story, self.cloud, person, tally, mode, dice, own, neighbour)
            try:
                broken = telling.go_on()
            finally:
                telling.close()
                self.cloud.clear_faults()
                story.end(self.cloud)
            broken += broken_promises(story, telling, before)
            if own is not None:
                broken += own.left(person)
            if neighbour is not None:
                broken += neighbour.ends()
        played = Played(
            story,
            point,
            telling.mode,
            tally.killed,
            tally.points(),
            time.monotonic() - began_s,
            broken,
            telling.report() if broken else "",
        )
        if not broken:
            shutil.rmtree(folder)
        return played


class Telling:
    """One story as it goes: what the person types, and when."""

    def __init__(
        self,
        story: Story,
        cloud: Cloud,
        person: Person,
        tally: Tally,
        mode: str,
        dice: random.Random,
        own: Tower | None = None,
        neighbour: Neighbour | None = None,
    ) -> None:
        self.story = story
        self.own = own
        self._neighbour = neighbour
        self.cloud = cloud
        self.person = person
        self.tally = tally
        self.job = own_code(
            person,
            story.script,
            max_cost=story.max_cost,
            max_duration=story.max_duration,
            providers=", ".join(story.providers),
            more=story.more,
        )
        self.mode = mode or dice.choice(MODES)
        self.exit_code: int | None = None
        self.view: dict[str, Any] = {}
        self.first_view: dict[str, Any] = {}  # of the run whose machine was used again
        self.marks: dict[str, float] = {}  # what the story's acts did, and when
        self.trouble = False  # nobody does anything about a death before it is over
        self._submit_again = dice.random() < 0.5
        self._commands: list[_Command] = []
        self._follower: _Command | None = None
        self._cancel: _Command | None = None
        self._is_resumed = False
        self._looking_s = 0.0

    def go_on(self) -> list[str]:
        """To the end of the run; what went wrong on the way."""
        give_up_at = time.monotonic() + _ENDS_S * self.story.runs
        self._submit()
        while True:
            stored = look(self.person.home)
            if self._is_done(stored):
                return self._leave()
            if time.monotonic() > give_up_at or self._is_stuck(stored):
                return [f"the run does not end: {stored.state or 'never recorded'}"]
            self._let_time_go_by(stored)
            self._reuse(stored)
            self.story.happens(self, stored)
            self._answer_a_death()
            time.sleep(_LOOK_S)

    def _submit(self) -> None:
        self._follower = self._type(*self._words(*self._keeping()))

    def _keeping(self) -> list[str]:
        return ["--keep", self.story.keep] if self.story.keep else []

    def _words(self, *options: str) -> list[str]:
        words = ["submit", self.job, "--yes", "--json", *options]
        return [*words, "--detach", "--ephemeral-keys"] if self.mode == "detached" else words

    def _is_done(self, stored: Stored) -> bool:
        busy = [one for one in self._commands if one.process.poll() is None]
        return stored.is_over and stored.runs >= self.story.runs and not busy

    def _is_stuck(self, stored: Stored) -> bool:
        """Whether nobody died, and yet every command is over without a run."""
        ended = all(one.process.poll() is not None for one in self._commands)
        return ended and not stored.runs and (not self.tally.killed or self._is_resumed)

    def _answer_a_death(self) -> None:
        """What a person does who sees that something died, once."""
        killed = self.tally.killed
        follower = self._follower
        assert follower is not None
        if killed in ("", "cancel") or self._is_resumed or self.trouble:
            return
        if killed == "driver" and self.mode == "power cut":
            follower.process.kill()
            follower.process.wait()
        if follower.process.poll() is None:
            return  # it follows, and starts another driver by itself
        self._is_resumed = True
        stored = look(self.person.home)  # a night may have gone by since the last look
        # Or it said all, and is done with: ended by the time of a second look, it would begin anew.
        is_said = stored.state == "kept" or (self.story.keep and stored.state == "returning")
        is_wanted = stored.is_open and not is_said
        if not stored.runs or (killed == "driver" and self._submit_again and is_wanted):
            options = [] if stored.runs else self._keeping()
            self._follower = self._type("submit", self.job, "--yes", "--json", *options)
        else:
            self._follower = self._type("attach", "last", "--json")

    def first(self, mark: str) -> bool:
        """Set a mark; whether it is the first time."""
        is_first = mark not in self.marks
        self.marks.setdefault(mark, time.monotonic())
        return is_first

    def works(self, stored: Stored) -> bool:
        """Whether the program runs, and has said so."""
        return stored.state == "running" and self._has_written()

    def machines(self) -> list[dict[str, Any]]:
        """Every machine that was rented for this story."""
        return self.cloud.machines(self.person.home_id)

    def is_neighbours(self, machine: dict[str, Any]) -> bool:
        """Whether a machine of the account is the other home's."""
        return self._neighbour is not None and self._neighbour.owns(machine)

    def typed_ids(self) -> list[int]:
        """The processes of commands that are not over."""
        return [one.process.pid for one in self._commands if one.process.poll() is None]

    def cancel(self) -> None:
        if self._cancel is None or self._cancel.process.poll() is not None:
            self._cancel = self._type("cancel", "last", "--json")

    def says_go(self, stored: Stored) -> None:
        """The program, which waits for a word, goes on."""
        self.cloud.says_go(stored.ids[-1])

    def set_clock(self, seconds: float) -> None:
        """Move the wall clock of all that is watched."""
        ahead = Path(self.person.env[AHEAD])
        written = ahead.with_suffix(".new")
        written.write_text(str(seconds))
        written.rename(ahead)

    def _reuse(self, stored: Stored) -> None:
        """Submit again, on the kept machine; once more where that command did not live for it."""
        if not self.story.reuses or stored.runs != 1 or stored.state != "kept":
            return
        if not self.typed_ids():
            self._follower = self._type(*self._words("--reuse", "last"))

    def _has_written(self) -> bool:
        runs = self.person.home / "runs"
        return any(b"hello from" in path.read_bytes() for path in runs.glob("*/log.txt"))

    def _let_time_go_by(self, stored: Stored) -> None:
        """Only where nothing is billed, so that nobody's figures can depend on the moment."""
        if not stored.leases or not stored.is_open:
            return
        waits = stored.state in ("looking", "running") or (
            stored.state == "returning"
            and all(
                one["state"] in ("closed", "handed_over") or one["unknown_s"] is not None
                for one in stored.leases
                if one["state"] != "tombstone"
            )
        )
        if not waits or not self.tally.moves or self._lives():
            return
        if stored.state != "looking":  # running: its machine is gone, which must be proven
            self.cloud.advance(3.0)
        elif self._looking_s < _LOOKING_S:  # a slow driver must not find its plan too old
            self._looking_s += 30.0
            self.cloud.advance(30.0)

    def _lives(self) -> bool:
        """Whether the run has a machine anywhere."""
        if self.own is not None and self.own.has_machine():
            return True
        return bool(self.cloud.living(self.person.home_id))

    def _type(self, *words: str) -> _Command:
        number = len(self._commands)
        out, err = (self.person.desk / f"{number}.{name}" for name in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*COMMAND, *words],
                cwd=self.person.desk,
                env=self.person.env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        command = _Command(words[0], process, out, err)
        self._commands.append(command)
        return command

    def _leave(self) -> list[str]:
        """The run's code and receipt, from the command that followed it to its end."""
        follower = self._follower
        assert follower is not None
        lines = follower.out.read_text().splitlines()
        objects = []
        for line in [*lines, "".join(lines)]:
            with suppress(ValueError):
                objects.append(json.loads(line))
        views = [one for one in objects if isinstance(one, dict) and one.get("state") == "ended"]
        if views and follower.process.returncode >= 0:
            self.view, self.exit_code = views[-1], follower.process.returncode
        else:
            receipt = self.person.types("receipt", "last", "--json")
            self.view, self.exit_code = receipt.json(), receipt.code
        if self.view.get("artifacts_at"):
            self.person.types("pull", "last")
        if self.story.reuses:
            first = look(self.person.home).ids[0]
            self.first_view = self.person.types("receipt", first, "--json").json()
        return self._wait_for_the_driver()

    def _wait_for_the_driver(self) -> list[str]:
        give_up_at = time.monotonic() + 20
        self.cloud.advance(TOMBSTONE_WATCH_S + 60)  # where a label was abandoned, it is watched
        while self.person.driver_ids():
            if time.monotonic() > give_up_at:
                return ["the driver does not end"]
            self.cloud.advance(1.0)  # a driver with nothing else to do looks once a minute
            time.sleep(_LOOK_S)
        return []

    def close(self) -> None:
        """End whatever is left of it."""
        for command in self._commands:
            if command.process.poll() is None:
                command.process.kill()
            command.process.wait()
        self.person.kills_driver()

    def report(self) -> str:
        """Everything that was said, for somebody who looks for the reason."""
        parts = [f"exit code {self.exit_code}", f"killed: {self.tally.killed or 'nobody'}"]
        for one in self._commands:
            code = one.process.poll()
            parts.append(f"$ {one.word} → {code}\n{one.err.read_text()[-3000:]}")
        parts.append(self.person.driver_log()[-8000:])
        parts.append("\n".join(str(point) for point in self.tally.points()[-60:]))
        return "\n".join(parts)
