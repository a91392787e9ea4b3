#!/usr/bin/env bash
# Train UWAV's parser (CVPR 2025): soft targets of its own teacher's logits, re-weighted, with mixup.
# The logits are in data/UWAV/logits_a and logits_v, their class thresholds in data/UWAV/classes.yaml (docs/DATA.md).
# Further flags of main.py may follow and win, e.g. --model_name my_run --seed 1
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

valor --mode train --model UWAV --model_name model_UWAV_reproduce --seed 20000 \
  "${PAPER_FEATURES[@]}" "${DATA[@]}" \
  --a_logits_dir "$ROOT/data/UWAV/logits_a" --v_logits_dir "$ROOT/data/UWAV/logits_v" \
  --label_thresholds "$ROOT/data/UWAV/classes.yaml" \
  --targets soft --temperature 2 --reweight 0.5 --reweight_scale classes --mixup 1.7 \
  --hidden_dim 512 --nhead 16 --ff_dim 2048 --num_layers 5 --norm_where post_norm --dropout 0.1 \
  --batch_size 64 --epochs 80 --optimizer adamw --lr 1e-4 --weight_decay 1e-3 \
  --beta1 0.5 --beta2 0.999 --eps 1e-8 --grad_norm 1.0 \
  --scheduler warm_up_cos_anneal --warm_up_epoch 10 --lr_min 5e-6 \
  "$@"
