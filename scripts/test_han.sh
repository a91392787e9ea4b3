#!/usr/bin/env bash
# Test HAN: VGGish, ResNet-152 and R(2+1)D features, hidden 512, 1 layer, 1 head.
# Further flags of main.py may follow and win, e.g. --model_name my_run
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model_name model_HAN_reproduce \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --hidden_dim 512 --nhead 1 --ff_dim 512 --num_layers 1 --norm_where post_norm \
  --batch_size 16 \
  "$@"
