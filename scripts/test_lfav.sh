#!/usr/bin/env bash
# Test a parser on LFAV: mAP and event F-scores, as LFAV publishes them, and LLP's ten scores.
# Further flags of main.py may follow and win, e.g. --model_name my_run
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model_name model_LFAV \
  "${LFAV[@]}" "${RUNS[@]}" \
  --hidden_dim 512 --nhead 8 --ff_dim 1024 --num_layers 1 --norm_where post_norm \
  --batch_size 16 \
  "$@"
