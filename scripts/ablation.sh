#!/usr/bin/env bash
# The study of docs/BEYOND.md on LLP itself: every recipe and network with five seeds, at the published sizes.
# It needs the teachers' logits in data/CLIP/logits and data/CLAP/logits (--logits_saved_dir of their commands).
# A command that was stopped goes on where it was. Further flags of benchmarks/ablation.py may follow, e.g. --gpu 0
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

exec "$PYTHON" "$ROOT/benchmarks/ablation.py" --data "$ROOT/data" --out "$ROOT/ablation" \
  --epochs 60 --lr 1e-4 --gpu 0 --jobs 1 --threads 4 \
  "$@"
