#!/usr/bin/env bash
# Compare training on a GPU with training on the CPU, on synthetic data, in about two minutes: losses, scores, recorded
# graphs, memory, speed. Prints a table to paste into a report. Writes to a temporary folder only.
#   bash scripts/check_gpu.sh              the first GPU; --gpu N: another one
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
VALOR_SETUP_QUIET=1 bash scripts/setup.sh --core
exec .venv/bin/python scripts/check_gpu.py "$@"
