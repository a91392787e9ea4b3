"""Small videos for tests, made by the ffmpeg program of the imageio-ffmpeg package."""

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np


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


def damage(path: Path, begin: float, end: float) -> None:
    """Write zeros over the packets of the picture that are shown from `begin` to `end`, in seconds."""
    with av.open(str(path)) as container:
        packets = [(float(p.pts * p.time_base), p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for time, position, size in packets:
        if begin <= time < end:
            data[position : position + size] = bytes(size)
    path.write_bytes(data)


GREY, TONE = 18, 200  # by which the picture gets brighter, and the sound higher, each second; in grey levels and Hz


def clock_video(path: Path, seconds: float = 10, rate: str = "25", picture: str = "", sound: str = "", *extra) -> Path:
    """A video of which second k is grey 20 + 18 k and sounds at 300 + 200 k Hz.

    Args:
        picture, sound: further filters, such as "trim=0:5".
    """
    grey = f"color=black:size=96x64:rate={rate}:duration={seconds},geq=lum='20+{GREY}*floor(T)':cb=128:cr=128"
    tone = f"aevalsrc='0.5*sin(2*PI*(300+{TONE}*floor(t))*t)':s=44100:d={seconds}"
    sources = ["-f", "lavfi", "-i", ",".join(filter(None, (grey, picture)))]
    sources += ["-f", "lavfi", "-i", ",".join(filter(None, (tone, sound)))]
    ffmpeg(*sources, "-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", *extra, path)
    return path


def joined_clocks(path: Path, *seconds: float) -> Path:
    """A clock video in parts of so many seconds; the clock of the file, MPEG-TS, begins again with each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole, part = path.with_suffix(".whole.mkv"), path.with_suffix(".part")
    clock_video(whole, sum(seconds))
    data = b""
    for k, length in enumerate(seconds):
        coding = ("-c:v", "libx264", "-crf", 10, "-f", "mpegts")
        ffmpeg("-ss", sum(seconds[:k]), "-i", whole, "-t", length, *coding, part)
        data += part.read_bytes()
    whole.unlink()
    part.unlink()
    path.write_bytes(data)
    return path


def second_of(image: np.ndarray) -> int:
    """Which second of a clock video an image, (H, W, 3), is of."""
    luma = 16 + image.mean() * 219 / 255
    return round((luma - 20) / GREY - 0.25)


def seconds_heard(samples: np.ndarray, rate: int, count: int = 10) -> list[int | None]:
    """Which second of a clock video the middle of each of `count` parts of a sound, (n,), is of; None: silence."""
    heard = []
    for part in np.array_split(samples, count):
        middle = part[len(part) // 4 : -len(part) // 4]
        if np.abs(middle).max() < 0.01:
            heard.append(None)
        else:
            peak = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * rate / len(middle)
            heard.append(round((peak - 300) / TONE))
    return heard
