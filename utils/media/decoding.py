"""Decoding one track of a media file. Packets that cannot be decoded are passed over, as ffmpeg does."""

from collections.abc import Callable, Iterator

import av
from av.container import InputContainer
from av.stream import Stream

from utils.media.clock import packets


def decode(
    container: InputContainer, stream: Stream, before: Callable[[av.Packet], None] = lambda packet: None
) -> Iterator[av.frame.Frame]:
    """The frames of a stream, on the time line of the file, as far as it can be read.

    Args:
        before: called with each packet of the stream before it is decoded.

    Raises the decoder's error if nothing can be decoded.
    """
    problem, started = None, False
    try:
        for packet in packets(container):
            if packet.stream.index != stream.index:
                continue
            before(packet)
            try:
                for frame in packet.decode():
                    started = True
                    yield frame
            except av.error.FFmpegError as error:
                problem = error
    except (av.error.FFmpegError, ValueError):
        if not started:
            raise
    if problem and not started:
        raise problem
