"""What the agent tells of a rehearsal: phases, their seconds, and how it ended. Untrusted bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.lifecycle.checkup import Finding
from orchestrator.lifecycle.report import printable, to_exit, to_record

_NAMES = {"setup": "environment", "download": "model", "program": "first batch"}
_STILL_S = 20.0


@dataclass(slots=True)
class Heard:
    """Everything that was heard so far."""

    sentences: Mapping[str, str]  # phase → what is told when it begins; others are silent
    tell: Callable[[str], None]
    offset: int = 0
    problem: str = ""  # why nobody listens any more
    is_over: bool = False
    _began_s: dict[str, float] = field(default_factory=dict)  # phases that have not ended
    _took_s: dict[str, float] = field(default_factory=dict)
    _exit: dict[str, object] = field(default_factory=dict)
    _told_s: float = 0.0

    @property
    def began_program(self) -> bool:
        """Environment and model are complete."""
        return "program" in self._began_s or "program" in self._took_s

    def take(self, data: bytes, now_s: float) -> bool:
        """Read the whole lines of `data`; whether there were any."""
        used = data.rfind(b"\n") + 1
        self.offset += used
        for line in data[:used].splitlines():
            event = to_record(line)
            if event is not None:
                self._apply(event, now_s)
        self._tell_that_it_lives(now_s)
        return used > 0

    def give_up(self, problem: str) -> None:
        """It does not go on."""
        self.problem, self.is_over = problem, True

    def findings(self, hint: str, made: Mapping[str, str]) -> list[Finding]:
        """One for each phase, the last one says how it ended.

        Args:
            made: phase → what it made.
        """
        bad = self._bad_phase()
        found: list[Finding] = []
        for phase, sentence in made.items():
            if phase == bad:
                continue
            if phase not in self.sentences:
                found.append((_NAMES[phase], True, f"{sentence}, by an earlier check", ""))
            elif phase in self._took_s and self.began_program:
                took = f"{sentence}, {self._took_s[phase]:.0f} s"
                found.append((_NAMES[phase], True, took, ""))
        if bad:
            return [*found, (_NAMES[bad], False, self._words(), hint)]
        return [*found, (_NAMES["program"], True, "", "")]

    def _apply(self, event: Mapping[str, object], now_s: float) -> None:
        name, phase = event.get("event"), event.get("phase")
        if name == "phase" and isinstance(phase, str) and phase in _NAMES:
            if event.get("state") == "started":
                self._began_s[phase] = now_s
                if sentence := self.sentences.get(phase):
                    self._told_s = now_s
                    self.tell(sentence)
            else:
                self._took_s[phase] = now_s - self._began_s.pop(phase, now_s)
        elif name == "exited" and not self._exit:
            self._exit = to_exit(dict(event))
        elif name == "ready":
            self.is_over = True

    def _tell_that_it_lives(self, now_s: float) -> None:
        open_phases = [phase for phase in self._began_s if self.sentences.get(phase)]
        if open_phases and now_s - self._told_s >= _STILL_S:
            self._told_s = now_s
            phase = open_phases[-1]
            self.tell(f"{_NAMES[phase]}: still at it after {now_s - self._began_s[phase]:.0f} s")

    def _bad_phase(self) -> str:
        """The phase that did not end well; none when all did."""
        if self._exit:
            if self._exit.get("why") == "finished" and self._exit.get("exit_code") == 0:
                return ""
            phase = self._exit.get("phase")
            return phase if isinstance(phase, str) and phase in _NAMES else "program"
        return next(reversed(self._began_s), "setup")

    def _words(self) -> str:
        message = str(self._exit.get("message", "")) or self.problem or "it ended without a word"
        if self.problem and self._exit:
            message = f"{self.problem}: {message}"
        if self._exit.get("out_of_memory"):
            return printable(f"out of memory: {message}")
        return printable(message)
