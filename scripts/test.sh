#!/usr/bin/env bash
# Set up and run the linter and all tests, without a GPU and without network beyond packages: bash scripts/test.sh [pytest options]
set -euo pipefail
unset CDPATH # with it, cd may go elsewhere
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
export HF_HUB_OFFLINE=1
.venv/bin/python -m ruff check .
exec .venv/bin/python -m pytest "$@"
