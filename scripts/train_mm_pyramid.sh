#!/usr/bin/env bash
# Train MM-Pyramid as its release does (ACM MM 2022): weak labels alone, and its exchange of the two streams.
# Further flags of main.py may follow and win; VALOR's losses: --losses video,audio,visual --no-published_slots
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model MM_Pyramid --model_name model_MM_Pyramid_reproduce --seed 1 \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --losses video,guided --published_slots \
  --hidden_dim 512 --nhead 8 --ff_dim 512 --num_layers 4 \
  --batch_size 16 --epochs 40 --optimizer adam --lr 1e-4 --weight_decay 0 \
  --beta1 0.9 --beta2 0.999 --eps 1e-8 --grad_norm 0 \
  --scheduler steplr --stepsize 10 --gamma 0.1 \
  "$@"
