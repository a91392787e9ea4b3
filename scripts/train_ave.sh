#!/usr/bin/env bash
# Train a parser on AVE with weak labels, in the manner of VALOR: HAN, CLAP, CLIP and R(2+1)D features, labels of the
# two teachers. VALOR's captions and thresholds for AVE are not published: docs/DATASETS.md says how to choose them.
# Further flags of main.py may follow and win, e.g. --model_name my_run --seed 1
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model_name model_AVE --seed 1 \
  "${AVE[@]}" "${RUNS[@]}" \
  --hidden_dim 512 --nhead 8 --ff_dim 1024 --num_layers 1 --norm_where post_norm \
  --batch_size 16 --epochs 80 --optimizer adamw --lr 1e-4 --weight_decay 1e-3 \
  --beta1 0.5 --beta2 0.999 --eps 1e-8 --grad_norm 1.0 \
  --scheduler warm_up_cos_anneal --warm_up_epoch 10 --lr_min 1e-6 \
  "$@"
