#!/bin/sh
# Installs Ansible, ansible-rulebook and nats-py at the versions of requirements.txt into a virtual environment, once, and prints its
# path. ansible-rulebook also needs Java 17 or newer. CALLBOARD_CACHE_DIR says where else than ~/.cache/callboard.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cache=${CALLBOARD_CACHE_DIR:-$HOME/.cache/callboard}
venv=$cache/ansible-$(cksum <"$here/requirements.txt" | cut -d ' ' -f 1)

if [ ! -e "$venv/complete" ]; then
  python=$(command -v python3) || { echo "python3 is not there: install Python 3.11 or newer" >&2; exit 1; }
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2 || { echo "python3 cannot make virtual environments: install python3-venv" >&2; exit 1; }
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
  : >"$venv/complete"
fi
echo "$venv"
