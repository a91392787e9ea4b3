#!/usr/bin/env bash
# Train HAN as its paper does (ECCV 2020): weak labels alone, for the video and for each modality.
# Heads, width and learning rate are from memory of the paper and its release, which were not at hand.
# Further flags of main.py may follow and win, e.g. --model_name my_run --losses video
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model_name model_HAN_reproduce --seed 1 \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --losses video,guided \
  --hidden_dim 512 --nhead 1 --ff_dim 512 --num_layers 1 --norm_where post_norm \
  --batch_size 16 --epochs 40 --optimizer adam --lr 3e-4 --weight_decay 0 \
  --beta1 0.9 --beta2 0.999 --eps 1e-8 --grad_norm 0 \
  --scheduler steplr --stepsize 10 --gamma 0.1 \
  "$@"
