#!/usr/bin/env bash
# Set up, then run the linter and the tests, without a GPU and without network beyond packages.
#   bash scripts/test.sh                  everything, in about eight minutes on two idle cores
#   bash scripts/test.sh --fast           what tells a mistake soonest, in under a minute
#   bash scripts/test.sh tests/test_x.py  any options of pytest
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
fast=()
if [[ ${1:-} == --fast ]]; then
  shift
  for name in house nets fast engine eval_metrics llp classes pseudo_labels dataloader main score_predictions \
    start_up scripts; do
    fast+=("tests/test_$name.py")
  done
  fast+=(--deselect tests/test_scripts.py::test_demo_beats_its_baselines_and_draws)
fi
VALOR_SETUP_QUIET=1 bash scripts/setup.sh
export HF_HUB_OFFLINE=1
export OMP_NUM_THREADS=1 # each worker has a core of its own
.venv/bin/python -m ruff check .
.venv/bin/python -m ruff format --check .
exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "${fast[@]}" "$@"
