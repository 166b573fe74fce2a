#!/bin/sh
# Makes .venv and installs the locked dependencies, once for each content of the lock.
#
#   tools/install.sh requirements.lock        what running needs
#   tools/install.sh requirements-dev.lock    the same, and what testing needs
#
# PYTHON names the interpreter to use; otherwise the first Python 3.11 or newer on the path.
set -eu
cd "$(dirname "$0")/.."
lock=$1

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1 || true)
    echo "Springline needs Python 3.11 or newer; ${PYTHON:-python3} is: ${found:-not there}." >&2
    echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.12)," >&2
    echo "or say where one is: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
}

make_environment() {
    python=$(find_python)
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "$python has no venv module. On Debian and Ubuntu: apt install python3-venv (as root), then try again." >&2
        exit 1
    fi
    echo "Making .venv with $("$python" --version) ..."
    rm -rf .venv
    "$python" -m venv .venv
}

# What is installed is remembered by content, not by time: a fresh checkout of the same lock installs nothing.
fingerprint() {
    cat "$1" pyproject.toml | cksum
    pwd
}

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    make_environment
fi
for installed in "$lock" requirements-dev.lock; do
    if [ "$(fingerprint "$installed")" = "$(cat ".venv/installed-$installed" 2>/dev/null || true)" ]; then
        exit 0
    fi
done

echo "Installing $(grep -c '^[a-zA-Z0-9]' "$lock") locked packages from $lock (once; a minute or two) ..."
.venv/bin/python -m pip install --disable-pip-version-check --require-hashes --requirement "$lock"
# The locked packages include the build back end, so this step asks no index for anything.
.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
fingerprint "$lock" > ".venv/installed-$lock"
echo "Installed."
