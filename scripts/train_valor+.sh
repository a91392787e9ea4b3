#!/usr/bin/env bash
# Train VALOR+: VGGish, ResNet-152 and R(2+1)D features, hidden 256, 4 layers.
# Further flags of main.py may follow and win, e.g. --model_name my_run --seed 1
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model_name model_VALOR+_reproduce --seed 64 \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --hidden_dim 256 --nhead 8 --ff_dim 1024 --num_layers 4 --norm_where post_norm \
  --batch_size 64 --epochs 60 --optimizer adamw --lr 3e-4 --weight_decay 1e-3 \
  --beta1 0.5 --beta2 0.999 --eps 1e-8 --grad_norm 1.0 \
  --scheduler warm_up_cos_anneal --warm_up_epoch 10 --lr_min 3e-6 \
  "$@"
