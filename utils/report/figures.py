"""Figures in files: their colours, and how they are written."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from utils.base.files import atomic_path

matplotlib.use("Agg")  # draws to files, with or without a display

BLUE, ORANGE = "#0072B2", "#E69F00"  # distinct in every kind of colour blindness (Okabe and Ito)


def panels(heights: Sequence[float], size: tuple[float, float], lengths: Sequence[float]) -> tuple[Figure, np.ndarray]:
    """A figure of two columns, audio and visual, and its (rows, 2) axes; a row for each height.

    lengths: of the videos; if they are equal, all rows have one time axis.
    """
    settings = {"squeeze": False, "sharex": len(set(lengths)) == 1 or "row", "layout": "constrained"}
    figure, axes = plt.subplots(len(heights), 2, figsize=size, height_ratios=heights, **settings)
    for ax in axes[-1]:
        ax.set_xlabel("seconds")
    return figure, axes


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure, in the format of the name, and close it."""
    with atomic_path(path) as tmp:
        figure.savefig(tmp, format=path.suffix[1:].lower(), dpi=dpi)
    plt.close(figure)
