# Sourced by the train and test scripts: where the repository is, and which Python runs it.
# shellcheck shell=bash

# The repository as seen from here, so that relative paths among a user's own flags keep their meaning.
unset CDPATH # with it, cd may go elsewhere, and says where
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
[[ $PWD -ef $ROOT ]] && ROOT=.

has_packages() {
  "$1" -c 'import sys; from importlib.util import find_spec; sys.exit(not (find_spec("torch") and find_spec("prettytable")))' \
    2>/dev/null
}

# An activated conda or virtual environment comes first, then .venv.
if [[ -n ${VIRTUAL_ENV:-}${CONDA_PREFIX:-} ]] && has_packages python; then
  PYTHON=python
elif [[ -x $ROOT/.venv/bin/python ]]; then
  PYTHON=$ROOT/.venv/bin/python
else
  echo "no environment with the packages of requirements-core.txt is active and there is no .venv: run 'bash scripts/setup.sh' first" >&2
  exit 2
fi

PAPER_FEATURES=(
  --audio_dir "$ROOT/data/feats/vggish"
  --video_dir "$ROOT/data/feats/res152"
)
CLAP_CLIP_FEATURES=(
  --audio_dir "$ROOT/data/CLAP/features"
  --video_dir "$ROOT/data/CLIP/features"
)
RUNS=(
  --cache_dir "$ROOT/data/cache"
  --model_save_dir "$ROOT/models/"
)
DATA=(
  --st_dir "$ROOT/data/feats/r2plus1d_18"
  --label_train "$ROOT/data/AVVP_train.csv"
  --label_val "$ROOT/data/AVVP_val_pd.csv"
  --label_test "$ROOT/data/AVVP_test_pd.csv"
  --gt_dir "$ROOT/data"
  --a_pseudo_data_dir "$ROOT/data/CLAP/segment_pseudo_labels"
  --v_pseudo_data_dir "$ROOT/data/CLIP/segment_pseudo_labels"
  "${RUNS[@]}"
)
# Converted by utils/convert_dataset.py, with features of the teachers and of R(2+1)D-18 beside the lists.
AVE=(
  --dataset "$ROOT/data/ave/dataset.yaml"
  --audio_dir "$ROOT/data/ave/CLAP/features"
  --video_dir "$ROOT/data/ave/CLIP/features"
)
LFAV=(
  --dataset "$ROOT/data/lfav/dataset.yaml"
  --audio_dir "$ROOT/data/lfav/CLAP/features"
  --video_dir "$ROOT/data/lfav/CLIP/features"
)

valor() { exec "$PYTHON" "$ROOT/main.py" "$@"; }
