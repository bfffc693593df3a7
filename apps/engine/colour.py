"""Decoded samples to display-referred 8-bit RGB and back, with matrix, range and transfer named every time."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.filter
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from apps.engine.depth import Deep, from_all_ones

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273."""

BT709, UNSPECIFIED, RGB_MATRIX = 1, 2, 0
LIMITED, FULL = 1, 2

HD_HEIGHT = 720
"""Untagged video is BT.709 from here on and BT.601 below, as players assume."""

SCALER_NAMES = {
    BT709: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020,
}  # fmt: skip
"""H.273 matrix coefficients to the scaler's own numbers."""

EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without these flags the scaler is ten times faster and one to two levels too dark."""

DEEP = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
"""For 16-bit RGB: there FULL_CHR_H_INT swaps colours about."""

SWAPPED = {"rgb555be", "bgr555be", "rgb565be", "bgr565be"}
"""On its way from these to 24 bits the scaler forgets to swap the bytes; to their little-endian twins it does not."""

CUBE_SIZE = 33

REFERENCE_WHITE_NITS = 203.0
"""ITU-R BT.2408: where HDR puts the white of paper."""

KNEE = 0.8
"""Linear light above this is rolled off towards white instead of clipped."""

HLG_PEAK_NITS = 1000.0


def is_hdr(frame: VideoFrame, codec: VideoCodecContext) -> bool:
    return (frame.color_trc in (PQ, HLG)) or (codec.color_trc in (PQ, HLG))


class ToRgb:
    """One video's way from decoded frames to RGB arrays; keeps its scaler and filters between frames."""

    def __init__(self, codec: VideoCodecContext, scratch: Path, *, deep: bool = False) -> None:
        self._codec = codec
        self._deep = deep
        self._scaler = VideoReformatter()
        self._swapper = VideoReformatter()
        self._scratch = scratch
        self._mapper: ToneMapper | None = None

    def convert(self, frame: VideoFrame) -> tuple[NDArray[np.uint8] | Deep, NDArray[np.uint8] | None]:
        """RGB, deep if that was asked for, and the frame's own alpha if it has one."""
        if is_hdr(frame, self._codec):
            mapped = self._tone_mapped(frame)
            return from_all_ones(mapped) if self._deep else _eight_bits(mapped), None
        if frame.format.name in SWAPPED:
            frame = self._swapper.reformat(frame, format=f"{frame.format.name[:-2]}le", threads=1)
        has_alpha = any(part.is_alpha for part in frame.format.components)
        matrix, range_ = self._describe(frame)
        picture = self._scaler.reformat(
            frame, format=self._target(has_alpha), src_colorspace=matrix, src_color_range=range_,
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG, interpolation=EXACT, threads=1,
        )  # fmt: skip
        pixels: NDArray[Any] = picture.to_ndarray()
        colours, alpha = (pixels[..., :3], pixels[..., 3]) if has_alpha else (pixels, None)
        if self._deep:
            colours = from_all_ones(colours) if _is_rgb(frame.format.name) else colours
            alpha = None if alpha is None else (alpha >> 8).astype(np.uint8)
        return np.ascontiguousarray(colours), None if alpha is None else np.ascontiguousarray(alpha)

    def _target(self, has_alpha: bool) -> str:
        # Planar, because packed 16-bit RGB gets its chroma pair by pair.
        if self._deep:
            return "gbrap16le" if has_alpha else "gbrp16le"
        return "rgba" if has_alpha else "rgb24"

    def _describe(self, frame: VideoFrame) -> tuple[Colorspace, ColorRange]:
        matrix = frame.colorspace if frame.colorspace != UNSPECIFIED else self._codec.colorspace
        if matrix not in SCALER_NAMES:
            matrix = BT709 if frame.height >= HD_HEIGHT else 6
        name = frame.format.name
        full = name.startswith("yuvj") or FULL in (frame.color_range, self._codec.color_range)
        full = full or _is_rgb(name)
        return SCALER_NAMES[matrix], ColorRange.JPEG if full else ColorRange.MPEG

    def _tone_mapped(self, frame: VideoFrame) -> Deep:
        transfer = frame.color_trc if frame.color_trc in (PQ, HLG) else self._codec.color_trc
        if self._mapper is None or not self._mapper.fits(frame, transfer):
            self._mapper = ToneMapper(frame, transfer, self._scratch)
        return self._mapper.convert(frame)


class ToneMapper:
    """HDR to SDR through a colour cube: ITU-R BT.2408 white, a soft knee, BT.2020 colours brought into BT.709."""

    def __init__(self, frame: VideoFrame, transfer: int, scratch: Path) -> None:
        self._key = (frame.width, frame.height, frame.format.name, transfer)
        self._scaler = VideoReformatter()
        with tempfile.NamedTemporaryFile("w", suffix=".cube", dir=scratch) as file:
            file.write(cube_text(transfer))
            file.flush()
            self._graph = av.filter.Graph()
            steps = [
                self._graph.add_buffer(
                    width=frame.width, height=frame.height, format=VideoFormat("rgb48le"), time_base=Fraction(1, 1000)
                ),
                self._graph.add("lut3d", f"file={file.name}:interp=tetrahedral"),
                self._graph.add("format", "pix_fmts=rgb48le"),
                self._graph.add("buffersink"),
            ]
            self._graph.link_nodes(*steps).configure()

    def fits(self, frame: VideoFrame, transfer: int) -> bool:
        return self._key == (frame.width, frame.height, frame.format.name, transfer)

    def convert(self, frame: VideoFrame) -> Deep:
        """Sixteen bits, all of them one for white."""
        range_ = ColorRange.JPEG if frame.color_range == FULL else ColorRange.MPEG
        deep = self._scaler.reformat(
            frame, format="rgb48le", src_colorspace=Colorspace.BT2020, src_color_range=range_,
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.JPEG, interpolation=DEEP, threads=1,
        )  # fmt: skip
        deep.pts, deep.time_base = 0, Fraction(1, 1000)
        self._graph.push(deep)
        return np.asarray(self._graph.vpull().to_ndarray(), np.uint16)


def _is_rgb(name: str) -> bool:
    return name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal"))


def _eight_bits(samples: Deep) -> NDArray[np.uint8]:
    return np.asarray((samples.astype(np.uint32) * 255 + 32768) >> 16, np.uint8)


def cube_text(transfer: int) -> str:
    """A .cube file, red fastest."""
    steps = np.linspace(0.0, 1.0, CUBE_SIZE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    mapped = tone_map(np.stack([red, green, blue], axis=-1).reshape(-1, 3), transfer)
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in mapped)
    return f"LUT_3D_SIZE {CUBE_SIZE}\n{rows}\n"


def tone_map(signal: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    """BT.2020 signal values 0–1 (PQ or HLG) to BT.709 signal values 0–1."""
    nits = _pq_to_nits(signal) if transfer == PQ else _hlg_to_nits(signal)
    light = nits / REFERENCE_WHITE_NITS
    peak = light.max(axis=-1, keepdims=True)
    # Scaling all three channels by the brightest one's roll-off keeps the hue.
    light = light * (_roll_off(peak) / np.maximum(peak, 1e-9))
    to_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    light = np.clip(light @ to_709.T, 0.0, 1.0)
    # The display's gamma, not the camera curve: what an SDR screen does with the signal.
    return np.asarray(light ** (1 / 2.4))


def _roll_off(light: NDArray[np.float64]) -> NDArray[np.float64]:
    over = np.maximum(light - KNEE, 0.0)
    return np.asarray(np.where(light <= KNEE, light, KNEE + (1 - KNEE) * over / (over + (1 - KNEE))))


def _pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def _hlg_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """ITU-R BT.2100, with the system gamma of a 1000-nit display."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.6780, 0.0593])
    return np.asarray(HLG_PEAK_NITS * np.maximum(luma, 1e-9)[..., None] ** 0.2 * scene)


def new_codec(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    """A codec of its own, apart from any container."""
    codec = VideoCodecContext.create(name, mode)
    assert isinstance(codec, VideoCodecContext)
    return codec
