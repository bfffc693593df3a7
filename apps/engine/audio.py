"""The sound that goes with a cutout: copied where the container holds it, else encoded; always on the video's clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from apps.engine.splices import Splices

Samples = NDArray[np.float32]
"""samples × channels, −1 to 1."""

COPIED = {
    "webm": {"opus", "vorbis"},
    "mp4": {"aac", "mp3"},
    "mov": {"aac", "alac", "mp3", "pcm_s16le", "pcm_s24le"},
}

ENCODED = {"webm": "libopus", "mp4": "aac", "mov": "pcm_s16le"}

BIT_RATES = {"libopus": 128_000, "aac": 192_000}

AAC_RATES = (44_100, 48_000, 96_000)

DEFAULT_RATE = 48_000

PCM_FRAME = 2048

MAX_JITTER = Fraction(1, 20)
"""Seconds by which sound may disagree with its timestamps before it is moved; containers round theirs."""

SPAN_TOLERANCE = Fraction(1, 10)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of the sound is wanted, in the input's own seconds; `start` becomes the output's zero."""

    start: Fraction
    end: Fraction | None
    is_trimmed: bool


@dataclass(slots=True)
class SoundSource:
    """The input's chosen sound, opened apart from the video so that neither waits for the other."""

    container: InputContainer
    stream: AudioStream
    cut: Cut
    span: tuple[Fraction, Fraction]
    """Where the packets say that the sound begins and ends, in the input's own seconds."""
    is_torn: bool = False
    """Its packets cannot be copied as they are."""
    splices: Splices = field(default_factory=Splices)
    was_mended: bool = False
    """Damage was covered with silence."""

    def attach(self, out: OutputContainer, format_name: str) -> CopiedSound | EncodedSound:
        """A trim needs sample accuracy, and packets can only be cut between frames: then it is encoded anew."""
        codec = self.stream.codec_context.codec.canonical_name
        if not self.cut.is_trimmed and not self.is_torn and codec in COPIED[format_name]:
            return CopiedSound(self, out)
        return EncodedSound(self, out, format_name)

    def packets(self) -> Iterator[Packet[AudioStream]]:
        return self.splices.mended(self.container.demux(self.stream))

    @property
    def kept_span(self) -> tuple[Fraction, Fraction] | None:
        """The span on the output's clock; None when the cut leaves nothing of it."""
        start = max(self.span[0], self.cut.start)
        end = self.span[1] if self.cut.end is None else min(self.span[1], self.cut.end)
        return (start - self.cut.start, end - self.cut.start) if end > start else None


class SampleReader:
    """Decoded sound as one gapless run of samples from the cut's start, silence where the file has none."""

    def __init__(self, sound: SoundSource, rate: int) -> None:
        self._sound = sound
        self._container = sound.container
        self._stream = stream = sound.stream
        self._cut = sound.cut
        self.rate = rate
        self.channels = 1 if stream.codec_context.channels == 1 else 2
        layout = "mono" if self.channels == 1 else "stereo"
        self._resampler = AudioResampler(format="flt", layout=layout, rate=rate)
        start, end = sound.kept_span or (Fraction(0), Fraction(0))
        self.first = round(start * rate)
        """Where on the output's clock the sound begins, in samples."""
        self.last = round(end * rate)

    def __iter__(self) -> Iterator[Samples]:
        position = self.first
        for start, samples in self._resampled():
            gap = start - position
            # At the start there is nothing yet that could jitter: Vorbis is heard a packet after its first one.
            if abs(gap) > MAX_JITTER * self.rate or position == self.first:
                for silence in self._silence(min(gap, self.last - position)):
                    position += len(silence)
                    yield silence
                samples = samples[max(0, -gap) :]
            samples = samples[: max(0, self.last - position)]
            if len(samples):
                position += len(samples)
                yield samples
            if position >= self.last:
                return
        # A damaged tail must not leave the sound shorter than its packets promise.
        if self.last - position > SPAN_TOLERANCE * self.rate:
            self._sound.was_mended = True
        yield from self._silence(self.last - position)

    def _silence(self, count: int) -> Iterator[Samples]:
        """Second by second, so that a long pause costs no memory."""
        while count > 0:
            size = min(self.rate, count)
            count -= size
            yield np.zeros((size, self.channels), np.float32)

    def _resampled(self) -> Iterator[tuple[int, Samples]]:
        """(position on the output's clock, samples), in decoding order."""
        position: int | None = None
        for frame in self._frames():
            if frame is not None and frame.pts is not None and frame.time_base is not None:
                time = frame.pts * Fraction(frame.time_base) - self._cut.start
                told = round(time * self.rate)
                if position is None or abs(told - position) > MAX_JITTER * self.rate:
                    position = told
            if position is None:
                position = self.first
            for made in self._resampler.resample(frame):
                samples = np.asarray(made.to_ndarray(), np.float32).reshape(-1, self.channels)
                yield position, samples
                position += len(samples)

    def _frames(self) -> Iterator[AudioFrame | None]:
        try:
            for packet in self._sound.packets():
                try:
                    yield from self._stream.codec_context.decode(packet if packet.size else None)
                except av.FFmpegError:
                    self._sound.was_mended = True
        except av.FFmpegError:
            self._sound.was_mended = True
        yield None


class CopiedSound:
    """Packets of the input on the output's clock."""

    def __init__(self, sound: SoundSource, out: OutputContainer) -> None:
        self._out = out
        self._start, self._end = sound.cut.start, sound.span[1]
        self._sound = sound
        self._is_vorbis = sound.stream.codec_context.codec.canonical_name == "vorbis"
        self._stream = out.add_stream_from_template(sound.stream)
        self._packets = self._read()
        self._next: Packet[AudioStream] | None = None
        self._ended = False

    def write_until(self, time: Fraction | None) -> None:
        """Mux what begins before `time`, or the rest."""
        while not self._ended:
            if self._next is None:
                self._next = next(self._packets, None)
                if self._next is None:
                    self._ended = True
                    return
            packet = self._next
            stamp = packet.pts if packet.pts is not None else packet.dts
            if time is not None and stamp is not None and stamp * Fraction(packet.time_base) > time:
                return
            packet.stream = self._stream
            self._next = None
            try:
                self._out.mux(packet)
            except av.InvalidDataError:
                # One whose inside is damaged; its neighbours are not.
                self._sound.was_mended = True

    def _read(self) -> Iterator[Packet[AudioStream]]:
        last: int | None = None
        try:
            for packet in self._sound.packets():
                if packet.dts is None or not packet.size or packet.is_corrupt:
                    continue
                if last is not None and packet.dts <= last:
                    continue
                if packet.dts * Fraction(packet.time_base) > self._end:
                    continue
                last = packet.dts
                shift = round(self._start / Fraction(packet.time_base))
                packet.dts -= shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                if self._is_vorbis:
                    # Its first packet only primes the decoder and lies before zero; WebM would move the video for it.
                    packet.pts = packet.dts = max(0, packet.pts)
                yield packet
        except av.FFmpegError:
            return


class EncodedSound:
    """The input's samples in the codec that the output's container calls for."""

    def __init__(self, sound: SoundSource, out: OutputContainer, format_name: str) -> None:
        codec = ENCODED[format_name]
        rate = sound.stream.codec_context.sample_rate
        rate = rate if codec == "aac" and rate in AAC_RATES else DEFAULT_RATE
        self.reader = SampleReader(sound, rate)
        self._out = out
        layout = "mono" if self.reader.channels == 1 else "stereo"
        self._stream = cast(AudioStream, out.add_stream(codec, rate=rate, layout=layout))
        if codec in BIT_RATES:
            self._stream.codec_context.bit_rate = BIT_RATES[codec]
        self._stream.time_base = Fraction(1, rate)
        self._blocks = self._cut_blocks()
        self._position = self.reader.first
        self._ended = False

    def write_until(self, time: Fraction | None) -> None:
        """Encode and mux what begins before `time`, or the rest."""
        while not self._ended:
            if time is not None and Fraction(self._position, self.reader.rate) > time:
                return
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                self._out.mux(self._stream.encode(None))
                return
            self._out.mux(self._stream.encode(self._frame(block)))
            self._position += len(block)

    def _cut_blocks(self) -> Iterator[Samples]:
        """Runs of exactly the encoder's frame size; only the last may be shorter."""
        # The size is known once the encoder is open.
        size = self._stream.codec_context.frame_size or PCM_FRAME
        held: list[Samples] = []
        count = 0
        for samples in self.reader:
            held.append(samples)
            count += len(samples)
            if count < size:
                continue
            joined = np.concatenate(held)
            whole = count - count % size
            yield from np.split(joined[:whole], whole // size)
            held, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(held)

    def _frame(self, block: Samples) -> AudioFrame:
        frame = to_frame(block, self._stream.codec_context.format.name, self.reader.rate)
        frame.pts, frame.time_base = self._position, Fraction(1, self.reader.rate)
        return frame


def to_frame(block: Samples, sample_format: str, rate: int) -> AudioFrame:
    """One block in the sample format that an encoder wants."""
    layout = "mono" if block.shape[1] == 1 else "stereo"
    if sample_format.startswith("s16"):
        data: NDArray[np.generic] = to_int16(block)
    else:
        data = block
    planar = sample_format.endswith("p")
    shaped = np.ascontiguousarray(data.T) if planar else np.ascontiguousarray(data).reshape(1, -1)
    frame = AudioFrame.from_ndarray(shaped, format=sample_format, layout=layout)
    frame.sample_rate = rate
    return frame


def to_int16(block: Samples) -> NDArray[np.int16]:
    return np.asarray(np.clip(np.rint(block * 32768.0), -32768, 32767), np.int16)


def write_wave(reader: SampleReader, path: Path) -> None:
    """A plain 16-bit WAV from time zero: sound that comes late begins with silence, because WAV has no clock."""
    with av.open(str(path), "w", format="wav") as out:
        layout = "mono" if reader.channels == 1 else "stereo"
        stream = out.add_stream("pcm_s16le", rate=reader.rate, layout=layout)
        position = 0
        for block in _with_lead(reader):
            frame = to_frame(block, "s16", reader.rate)
            frame.pts, frame.time_base = position, Fraction(1, reader.rate)
            out.mux(stream.encode(frame))
            position += len(block)
        out.mux(stream.encode(None))


def _with_lead(reader: SampleReader) -> Iterator[Samples]:
    for count in [reader.rate] * (reader.first // reader.rate) + [reader.first % reader.rate]:
        if count:
            yield np.zeros((count, reader.channels), np.float32)
    yield from reader


def measure(location: str, container_format: str) -> tuple[Fraction, Fraction] | None:
    """(start, end) of a file's sound by its packets; None when it has none."""
    with av.open(location, format=container_format) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        stamps = [
            (packet.pts, packet.pts + (packet.duration or 0))
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size
        ]
        base = Fraction(stream.time_base or 1)
    if not stamps:
        return None
    return min(start for start, _ in stamps) * base, max(end for _, end in stamps) * base
