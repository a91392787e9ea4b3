#!/usr/bin/env bash
# Test a parser on AVE: accuracy over 28 classes and background by three rules, beside the two floors.
# Further flags of main.py may follow and win, e.g. --model_name my_run
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model_name model_AVE \
  "${AVE[@]}" "${RUNS[@]}" \
  --hidden_dim 512 --nhead 8 --ff_dim 1024 --num_layers 1 --norm_where post_norm \
  --batch_size 16 \
  "$@"
