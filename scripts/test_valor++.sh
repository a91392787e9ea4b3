#!/usr/bin/env bash
# Test VALOR++: CLAP, CLIP and R(2+1)D features, hidden 256, 4 layers.
# Further flags of main.py may follow and win, e.g. --model_name model_VALOR++_reproduce
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model_name model_VALOR++ \
  "${CLAP_CLIP_FEATURES[@]}" "${DATA[@]}" \
  --hidden_dim 256 --nhead 8 --ff_dim 1024 --num_layers 4 --norm_where post_norm \
  --batch_size 64 \
  "$@"
