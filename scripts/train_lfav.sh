#!/usr/bin/env bash
# Train a parser on LFAV: videos of any length, weak labels of each modality, HAN with CLAP, CLIP and R(2+1)D features
# a second, and the labels of the two teachers. LFAV's own network is another one: its figures are no baseline of this.
# Further flags of main.py may follow and win, e.g. --model_name my_run --seed 1
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model_name model_LFAV --seed 1 \
  "${LFAV[@]}" "${RUNS[@]}" \
  --losses video,audio,visual,guided \
  --hidden_dim 512 --nhead 8 --ff_dim 1024 --num_layers 1 --norm_where post_norm \
  --batch_size 16 --epochs 40 --optimizer adamw --lr 1e-4 --weight_decay 1e-3 \
  --beta1 0.5 --beta2 0.999 --eps 1e-8 --grad_norm 1.0 \
  --scheduler warm_up_cos_anneal --warm_up_epoch 5 --lr_min 1e-6 \
  "$@"
