"""The packets of a media file with time stamps that go on, also if those in the file begin again or jump."""

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer

from utils.media.isolated import progress

MAY_JUMP = 0x200  # AVFMT_TS_DISCONT
JUMP, BACK = 10_000_000, 100_000  # microseconds, ffmpeg's thresholds


def has_clock(container: InputContainer) -> bool:
    """Whether the format has the clock of a broadcast, which may begin again, and no header that states a length."""
    return bool(container.format.flags & MAY_JUMP)


class Clock:
    """Makes time stamps go on if they begin again or jump, in formats whose clock may do so.

    The rule of ffmpeg 5.1 (fftools/ffmpeg.c), whose offset is one for all streams of a file: a stamp over 0.1 s before
    the last one of its stream, or over 10 s after what has been read, follows what was there instead.
    """

    def __init__(self, container: InputContainer):
        self.may_jump = has_clock(container)
        self.offset = 0  # microseconds; another number if the time stamps began again or jumped
        self.last: dict[int, int] = {}  # by stream
        self.expected: dict[int, int] = {}

    def adjust(self, packet: av.Packet) -> None:
        """Change a packet's time stamps if needed. Call it with every packet of the file."""
        if not self.may_jump or packet.dts is None:
            return
        index, unit = packet.stream.index, packet.time_base * 1_000_000
        now = round(packet.dts * unit) + self.offset
        if index in self.last:
            expected = self.expected[index]
            if now + BACK < self.last[index] or now > max(self.expected.values()) + JUMP:
                self.offset += expected - now
                now = expected
        self.last[index], self.expected[index] = now, now + round((packet.duration or 0) * unit)
        shift = round(self.offset / unit)
        packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift


def packets(container: InputContainer, clock: Clock | None = None) -> Iterator[av.Packet]:
    """All packets of a file, on its time line. clock: of the file, to look at afterwards."""
    clock = clock or Clock(container)
    for packet in container.demux():
        progress()
        clock.adjust(packet)
        yield packet


def start_of(container: InputContainer) -> Fraction:
    """When the file begins, in seconds of its own clock."""
    return Fraction(container.start_time or 0, av.time_base)


def time_of(container: InputContainer, moment: "av.Packet | av.frame.Frame") -> Fraction | None:
    """When a packet or frame is presented, in seconds from the start of the file. None if the file does not say."""
    if moment.pts is None:
        return None
    return moment.pts * moment.time_base - start_of(container)
