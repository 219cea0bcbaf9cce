#!/bin/sh
# What `make setup` does. `environment PYTHON`: .venv with the package and its development tools.
# `sshd`: an OpenSSH server program, which the simulated cloud's machines run.
# `shells`, in CI alone: zsh and fish, in which the Tab key is pressed.
set -eu

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

install_package() { # NAME…
    echo "setup: installing $* by apt"
    # Without a network it gives up soon.
    as_root apt-get update -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_environment() { # PYTHON
    if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "setup: $1 is missing or older than 3.11; name another: make setup PYTHON=python3.12" >&2
        exit 1
    fi
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if ! may_install || ! install_package "$package"; then
            echo "setup: run this, then make setup again: sudo apt-get install $package" >&2
            exit 1
        fi
    fi
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$1" -m venv --clear .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check 'uv>=0.9.17'
    uv_settings=$(.venv/bin/python infra/pip_to_uv.py)
    eval "$uv_settings"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --editable . --group dev
    echo "setup: .venv is ready"
}

have_sshd() {
    command -v sshd >/dev/null || [ -x /usr/sbin/sshd ]
}

find_sshd() {
    have_sshd && exit 0
    if may_install && install_package openssh-server && have_sshd; then
        echo "setup: where systemd runs, Debian has started ssh.service too;" \
            "to stop it: sudo systemctl disable --now ssh"
    else
        echo "setup: no sshd, so the demo runs on this computer (--provider local) and tests that" \
            "need one are skipped; to change that: sudo apt-get install openssh-server" >&2
    fi
}

find_shells() {
    missing=
    for shell in zsh fish; do
        command -v "$shell" >/dev/null || missing="$missing $shell"
    done
    # shellcheck disable=SC2086 # words, each a package
    if [ -n "$missing" ] && ! { may_install && install_package $missing; }; then
        echo "setup: no$missing here: completion is not tried in it" >&2
    fi
}

case "${1:-}" in
    environment) make_environment "$2" ;;
    sshd) find_sshd ;;
    shells) find_shells ;;
    *) echo "usage: setup.sh environment PYTHON | sshd | shells" >&2; exit 2 ;;
esac
