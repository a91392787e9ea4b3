#!/usr/bin/env bash
# Make .venv, or bring it up to date; returns at once when it is current.
#   bash scripts/setup.sh           everything: training, the teachers, downloads, tests
#   bash scripts/setup.sh --core    only what training, evaluation and the demo need
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  --core) level=core; requirements=requirements-core.txt ;;
  "") level=full; requirements=requirements-dev.txt ;;
  *) echo "setup.sh: unknown option $1; usage: bash scripts/setup.sh [--core]" >&2; exit 2 ;;
esac

stamp=.venv/.valor-installed # a line per level that is installed, with a checksum of what it was installed from
sum_of() { cat "$@" | cksum; }
line() {
  case "$1" in
    core) echo "core $(sum_of requirements-core.txt)" ;;
    full) echo "full $(sum_of requirements-core.txt requirements.txt requirements-dev.txt)" ;;
  esac
}
have() { "$1" --version >/dev/null 2>&1; } # more than `command -v`: a pyenv shim may lead nowhere
works() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

current() { [[ -f $stamp ]] && grep -qxF "$(line $level)" "$stamp" && works .venv/bin/python; }

current && exit 0

mkdir -p .venv
if have flock; then # two set-ups at a time would damage each other
  exec 9>.venv/.valor-lock
  flock 9
  current && exit 0 # another one has just done it
fi
if [[ -e .venv/bin/python || -L .venv/bin/python ]]; then
  works .venv/bin/python || {
    echo "setup.sh: the Python in .venv does not run or is not 3.11 or 3.12; remove .venv and try again" >&2
    exit 2
  }
else
  python=""
  for candidate in python3.11 python3.12 python3 python; do
    if works "$candidate"; then python=$candidate; break; fi
  done
  if have uv; then
    uv venv --quiet --allow-existing --python "${python:-3.11}" .venv
  elif [[ -n $python ]]; then
    "$python" -m venv .venv || {
      echo "setup.sh: $python cannot make a virtual environment; install its venv package (Debian: python3-venv), or uv" >&2
      exit 2
    }
  else
    echo "setup.sh: needs Python 3.11 or 3.12 (found none on the PATH), or uv, which brings its own" >&2
    exit 2
  fi
fi

# uv, since it picks the same builds of torch, torchvision and torchaudio everywhere, and takes seconds.
if have uv; then
  uv=(uv)
else
  .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null # set-up was interrupted
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
  uv=(.venv/bin/python -m uv)
fi
echo "setup.sh: installing $requirements into .venv (torch is a few GB)"
rm -f "$stamp"
# Compiled now, since the first start of every command would else take seconds longer, each time if .venv is read-only.
"${uv[@]}" pip install --quiet --compile-bytecode --python .venv/bin/python -r "$requirements"
line core >"$stamp"
[[ $level == core ]] || line full >>"$stamp"
