"""Small videos for tests, made by the ffmpeg program of the imageio-ffmpeg package."""

import subprocess
from pathlib import Path

import imageio_ffmpeg


def ffmpeg(*flags: object) -> None:
    """Run the wheel's ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, flags)]
    subprocess.run(command, check=True, capture_output=True)


def make_video(
    path: Path, rate: str = "25", seconds: float = 10, size: str = "64x48", sound: str = "sine=frequency=440", *extra
) -> Path:
    """A moving test pattern, with sound of a lavfi source unless it is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = ["-f", "lavfi", "-i", f"{sound}:duration={seconds}"] if sound else []
    coding = ["-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", *(["-c:a", "aac"] if sound else [])]
    pattern = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    ffmpeg("-f", "lavfi", "-i", pattern, *audio, *coding, *extra, path)
    return path


def cut_short(path: Path, keep: float = 0.5) -> None:
    """Leave only the first part of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
