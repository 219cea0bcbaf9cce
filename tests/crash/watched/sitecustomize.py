"""Python runs this at its start where PYTHONPATH names this folder: a command that is watched."""

from tests.crash.process_watch import watch

watch()
