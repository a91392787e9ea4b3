#!/usr/bin/env bash
# Test UWAV's parser: VGGish, ResNet-152 and R(2+1)D features, hidden 512, 5 layers, 16 heads.
# Further flags of main.py may follow and win, e.g. --model_name my_run
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model UWAV --model_name model_UWAV_reproduce \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --hidden_dim 512 --nhead 16 --ff_dim 2048 --num_layers 5 --norm_where post_norm --dropout 0.1 \
  --batch_size 64 \
  "$@"
