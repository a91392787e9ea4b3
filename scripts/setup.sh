#!/usr/bin/env bash
usage() {
  cat <<'TEXT'
Make .venv, or bring it up to date; returns at once when it is current.

    bash scripts/setup.sh           everything: training, the teachers, parsing, downloads, the app, tests
    bash scripts/setup.sh --core    only what training, evaluation and the demo need
    bash scripts/setup.sh --cpu     for machines without an NVIDIA GPU: PyTorch's CPU builds, about 3.4 GB smaller

Needs Python 3.11 or 3.12, or uv, which brings its own; 4 GB to fetch and 6.5 GB on the disk, most of it PyTorch with
CUDA. --cpu takes packages from PyTorch's own index and may stand beside --core. A .venv keeps the builds that it has:
remove it to change between --cpu and CUDA. Afterwards: source .venv/bin/activate
TEXT
}
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

level=full requirements=requirements-dev.txt backend=()
for option in "$@"; do
  case "$option" in
    --core) level=core requirements=requirements-core.txt ;;
    --cpu) backend=(--torch-backend cpu) ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup.sh: unknown option $option; usage: bash scripts/setup.sh [--core] [--cpu] [--help]" >&2; exit 2 ;;
  esac
done

stamp=.venv/.valor-installed # a line per level that is installed, with a checksum of what it was installed from
sum_of() { cat "$@" | cksum; }
line() {
  case "$1" in
    core) echo "core $(sum_of requirements-core.txt)" ;;
    full) echo "full $(sum_of requirements*.txt)" ;;
  esac
}
have() { "$1" --version >/dev/null 2>&1; } # more than `command -v`: a pyenv shim may lead nowhere
works() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

current() { [[ -f $stamp ]] && grep -qxF "$(line $level)" "$stamp" && works .venv/bin/python; }

# What comes next, unless another script of ours goes on by itself.
say_next() {
  if [[ ${#backend[@]} != 0 ]] && .venv/bin/python -c 'import sys, torch; sys.exit(not torch.version.cuda)' 2>/dev/null; then
    echo "setup.sh: this .venv has builds for CUDA; remove it, and run this again, to get those for the CPU" >&2
  fi
  [[ -n ${VALOR_SETUP_QUIET:-} ]] || echo "setup.sh: .venv is ready; to type python commands: source .venv/bin/activate"
}

if current; then say_next; exit 0; fi

mkdir -p .venv
if have flock; then # two set-ups at a time would damage each other
  exec 9>.venv/.valor-lock
  flock 9
  if current; then say_next; exit 0; fi # another one has just done it
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
size=", 4 GB to fetch, 6.5 GB on the disk"
[[ $level == full ]] || size=", 3 GB to fetch, 5 GB on the disk"
[[ ${#backend[@]} == 0 ]] || size=", about 3.4 GB less than with CUDA"
.venv/bin/python -c 'import torch' 2>/dev/null && size="" # little is missing
echo "setup.sh: installing $requirements into .venv$size"
rm -f "$stamp"
# Compiled now, since the first start of every command would else take seconds longer, each time if .venv is read-only.
# Without --quiet: uv shows the progress of each large file.
"${uv[@]}" pip install "${backend[@]}" --compile-bytecode --python .venv/bin/python -r "$requirements" || {
  echo "setup.sh: the packages could not be installed, for the reason above; rerun the same command to go on" >&2
  exit 2
}
line core >"$stamp"
[[ $level == core ]] || line full >>"$stamp"
say_next
