"""The files by which a person's own service manager keeps the driver of a home alive. Pure.

They hold no credential: a service finds keys in the keyring or the config file alone.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_KEPT = re.compile(
    r"PATH|GPULEASE_(CONFIG|[A-Z]+_SSH_(USER|PORT)|(?!DATABASE)[A-Z_]+_URL)|HF_ENDPOINT"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE"
)
_RESTART_S = 10


@dataclass(frozen=True, slots=True)
class Service:
    """One home's driver as a service; the name tells homes apart."""

    home_id: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @property
    def unit_name(self) -> str:
        """Of the systemd unit."""
        return f"gpulease-driver-{self.home_id}.service"

    @property
    def label(self) -> str:
        """Of the launchd agent."""
        return f"gpulease.driver.{self.home_id}"


def driver_service(home_id: str, home: str, python: str, environment: Mapping[str, str]) -> Service:
    """The service of a home; of the environment, what leads the driver to its programs.

    >>> service = driver_service("h0m3id", "/h", "/usr/bin/python3", {"X_API_KEY": "k"})
    >>> service.command[-2:], service.environment
    (('driver', '--stay'), (('GPULEASE_HOME', '/h'),))
    """
    kept = {name: value for name, value in environment.items() if _KEPT.fullmatch(name) and value}
    return Service(
        home_id,
        (python, "-m", "orchestrator", "--home", home, "driver", "--stay"),
        tuple(sorted({**kept, "GPULEASE_HOME": home}.items())),
    )


def systemd_unit(service: Service) -> str:
    """A unit for `systemctl --user`."""
    lines = [
        "[Unit]",
        f"Description=gpulease: the driver of home {service.home_id}",
        "Documentation=man:systemd.service(5)",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"ExecStart={_words(service.command)}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment),
        "Restart=always",
        f"RestartSec={_RESTART_S}",
        "KillMode=process",  # jobs on this computer outlive the driver that started them
        "UMask=0077",
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    ]
    return "\n".join(lines)


def launchd_plist(service: Service) -> str:
    """An agent for `launchctl bootstrap gui/UID`."""
    return plistlib.dumps(
        {
            "Label": service.label,
            "ProgramArguments": list(service.command),
            "EnvironmentVariables": dict(service.environment),
            "RunAtLoad": True,
            "KeepAlive": True,
            "AbandonProcessGroup": True,
            "ThrottleInterval": _RESTART_S,
            "ProcessType": "Background",
            "Umask": 0o077,
        },
        sort_keys=False,
    ).decode()


def _words(command: Sequence[str]) -> str:
    return " ".join(_quoted(word).replace("$", "$$") for word in command)


def _quoted(text: str) -> str:
    r"""One word of a unit file; what systemd would replace in it is doubled.

    >>> print(_quoted('a "b" 100% c:\\d'))
    "a \"b\" 100%% c:\\d"
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
