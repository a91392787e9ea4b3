#!/usr/bin/env bash
# Train and test VALOR on a small synthetic data set, from nothing: under three minutes on two cores once packages are in.
# Writes to demo_output/ only.
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
if [[ ${1:-} == -h || ${1:-} == --help ]] && [[ ! -e .venv/bin/python ]]; then # before gigabytes are fetched for an answer
  sed -n '2,/^set/s/^# //p' "$0"
  exit
fi
VALOR_SETUP_QUIET=1 bash scripts/setup.sh --core
exec .venv/bin/python scripts/demo.py "$@"
