#!/usr/bin/env bash
# Test MM-Pyramid: VGGish, ResNet-152 and R(2+1)D features, 4 levels, streams exchanged as in its release.
# Further flags of main.py may follow and win, e.g. --model_name my_run
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode test --model MM_Pyramid --model_name model_MM_Pyramid_reproduce \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" --published_slots \
  --hidden_dim 512 --nhead 8 --ff_dim 512 --num_layers 4 \
  --batch_size 16 \
  "$@"
