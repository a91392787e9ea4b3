"""The ffmpeg program."""

import shutil

from utils.base.errors import InputError


def find_ffmpeg() -> str:
    """Path of the ffmpeg program: the system's, else the one of imageio-ffmpeg; InputError where there is none."""
    system = shutil.which("ffmpeg")
    if system:
        return system
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError("found no ffmpeg; install it, or pip install imageio-ffmpeg") from error
