"""What commands import: those that run no network load neither torch nor a decoder."""

import pytest

from tests.conftest import ROOT, python

HEAVY = {
    "torch",
    "gradio",
    "av",
    "cv2",
    "soxr",
    "torchvision",
    "open_clip",
    "laion_clap",
    "transformers",
    "matplotlib",
    "wandb",
}
SCORING = ("score_predictions", "score_pseudo_labels", "make_report", "plot_timeline")
PARSING = ("parse_video", "app")  # their --help
LIGHT = (*SCORING, *PARSING, "download_features", "make_lookalike", "pack_features", "simulate")
PRINT_HEAVY = "import sys; print(*[name for name in sys.argv[1].split() if name in sys.modules])"


@pytest.mark.parametrize("command", LIGHT)
def test_a_command_without_a_network_imports_nothing_heavy(command):
    script = f"import utils.{command} as c; c.get_args_parser(); {PRINT_HEAVY}"
    result = python("-c", script, " ".join(HEAVY), cwd=ROOT)
    assert result.returncode == 0 and not result.stdout.split(), result.stdout + result.stderr


def test_scoring_and_pages_need_no_network(lookalike, tmp_path):
    for modality in ("audio", "visual"):
        (tmp_path / f"pred_{modality}.csv").write_bytes((lookalike / f"AVVP_eval_{modality}.csv").read_bytes())
    flags = ["--pred_dir", f"{tmp_path}", "--label_csv", f"{lookalike}/AVVP_test_pd.csv", "--gt_dir", f"{lookalike}"]
    for command, more in (("score_predictions", []), ("make_report", ["--out", str(tmp_path / "page.html")])):
        script = f"import utils.{command} as c; c.main(c.get_args_parser().parse_args({flags + more})); {PRINT_HEAVY}"
        result = python("-c", script, " ".join(HEAVY), cwd=ROOT)
        assert result.returncode == 0 and not result.stdout.splitlines()[-1], result.stdout + result.stderr
