#!/usr/bin/env bash
# Test VALOR: VGGish, ResNet-152 and R(2+1)D features, hidden 512, 1 layer.
# Further flags of main.py may follow and win, e.g. --model_name model_VALOR_reproduce
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model_name model_VALOR \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --hidden_dim 512 --nhead 8 --ff_dim 1024 --num_layers 1 --norm_where post_norm \
  --batch_size 64 \
  "$@"
