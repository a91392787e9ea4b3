"""Figures in files: their formats, their colours, and how they are written."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from utils.base.errors import InputError
from utils.base.files import atomic_path

matplotlib.use("Agg")  # draws to files, with or without a display

BLUE, ORANGE = "#0072B2", "#E69F00"  # told apart in every kind of colour blindness (Okabe and Ito)
FORMATS = (".png", ".pdf", ".svg")


def require_format(flag: str, path: Path) -> None:
    """InputError where the name does not end in one of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{flag} {path}: expected a name that ends in {', '.join(FORMATS)}")


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure, in the format of the name, and close it."""
    with atomic_path(path) as tmp:
        figure.savefig(tmp, format=path.suffix[1:].lower(), dpi=dpi)
    plt.close(figure)
