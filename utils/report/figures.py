"""Figures in files: their colours, and how they are written."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from utils.base.files import atomic_path

matplotlib.use("Agg")  # draws to files, with or without a display

BLUE, ORANGE = "#0072B2", "#E69F00"  # distinct in every kind of colour blindness (Okabe and Ito)


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure, in the format of the name, and close it."""
    with atomic_path(path) as tmp:
        figure.savefig(tmp, format=path.suffix[1:].lower(), dpi=dpi)
    plt.close(figure)
