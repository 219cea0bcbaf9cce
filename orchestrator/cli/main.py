"""Arguments → one command → exit code; every error becomes text, and a code of the table."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.cli.help import help_page

if TYPE_CHECKING:
    from orchestrator.app import App
    from orchestrator.cli.session import MakeApp, Session
    from orchestrator.errors import GpuleaseError
    from orchestrator.settings import Settings

_HELP: tuple[list[str], ...] = ([], ["--help"], ["-h"], ["help"])
_COMPLETION = "_GPULEASE_COMPLETE"
_COMPLETION_OPTIONS = (["--install-completion"], ["--show-completion"])


def main(argv: Sequence[str] | None = None, make_app: MakeApp | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if _COMPLETION in os.environ or arguments[:1] in _COMPLETION_OPTIONS:
        return _complete(arguments)
    if arguments == ["--version"]:
        return _print_version()
    if arguments in _HELP:
        return _print_help()
    from orchestrator.cli.blocks import Text
    from orchestrator.cli.options import GlobalOptions, take_global_options
    from orchestrator.cli.session import Session
    from orchestrator.errors import GpuleaseError

    _show_what_cannot_be_encoded()
    session = Session(GlobalOptions(json="--json" in arguments), make_app or _make_app)
    try:
        session.options, rest = take_global_options(arguments)
        if session.options.version:
            answer = {"schema": 1, "version": __version__}
            session.result(answer, [Text(f"gpulease {__version__}", unbroken=True)])
            return 0
        if rest in _HELP:
            return _print_help()
        _set_logging(session.options.verbose)
        code = _run(session, rest)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _interrupted(session)
    except GpuleaseError as error:
        return _refuse(session, error)
    except Exception as error:  # our own fault: said in one line, the rest goes to a file
        return _crash(session, error)


def _make_app(settings: Settings) -> App:
    from orchestrator.app import App

    return App(settings)


def _print_help() -> int:
    sys.stdout.write(help_page())
    return 0


def _print_version() -> int:
    print(f"gpulease {__version__}")
    return 0


def _complete(arguments: list[str]) -> int:
    from orchestrator.cli.group import build_group

    build_group(completion=True).main(args=arguments, prog_name="gpulease")
    return 0


def _run(session: Session, arguments: list[str]) -> int:
    """Parse, call the command, give its exit code."""
    import typer

    from orchestrator.cli.group import build_group
    from orchestrator.errors import UsageError

    group = build_group()
    try:
        with group.make_context("gpulease", arguments, obj=session) as context:
            code = group.invoke(context)
        return int(code or 0)
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.TyperException as error:
        near = getattr(getattr(error, "ctx", None), "command_path", "gpulease")
        raise UsageError(error.format_message(), hint=f"{near} --help") from error


def _refuse(session: Session, error: GpuleaseError) -> int:
    """The error as text, and with --json as the object that a run would have been."""
    session.alarm(error.problem, error.hint)
    if session.options.json:
        from orchestrator.cli.refusal import error_view, refused_view

        view = refused_view(error)
        if session.job is not None:
            view["name"], view["kind"] = session.job.name, session.job.kind
        if session.run_id is not None:
            view["run"], view["state"], view["outcome"] = session.run_id, "unknown", None
            view["returned"]["proven"] = False
            try:
                view = session.app.view(session.run_id)
                view["error"] = error_view(error)
            except Exception:
                view["error"] = error_view(error)
        session.emit(dict(view))
    return error.exit_code


def _interrupted(session: Session) -> int:
    """Ctrl-C where nothing is followed."""
    from orchestrator.cli.exit_codes import ExitCode
    from orchestrator.errors import UsageError

    known = f"the run goes on: gpulease attach {session.run_id}"
    error = UsageError("interrupted", hint=known if session.run_id else "gpulease ps")
    error.code = "interrupted"
    error.exit_code = ExitCode.DETACHED
    return _refuse(session, error)


def _crash(session: Session, error: Exception) -> int:
    """Write the traceback where it can be found, show it only with -v."""
    import traceback

    from orchestrator.cli.crash import write_crash
    from orchestrator.errors import GpuleaseError

    text = "".join(traceback.format_exception(error))
    if session.options.verbose:
        session.note(text)
    place = write_crash(session.options.home, text)
    ours = GpuleaseError(
        f"this is our fault: {type(error).__name__}",
        hint=f"details are in {place}; runs that were started go on: gpulease ps",
    )
    return _refuse(session, ours)


def _show_what_cannot_be_encoded() -> None:
    """A letter that a terminal's encoding lacks is shown as `?`, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _set_logging(verbose: int) -> None:
    if verbose:
        import logging

        level = logging.INFO if verbose == 1 else logging.DEBUG
        logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
        logging.getLogger("orchestrator").setLevel(level)
