"""Contact sheets, to be looked at: frames side by side, rows below each other, over a colour that hides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.folder import Clip
from bench.rows import Row
from bench.video import Alpha, Frame, alphas_of, frames_of

LOUD = np.array((255, 0, 255), np.float32)
CELL_WIDTH = 300
LABEL_HEIGHT, LABEL_WIDTH = 22, 150
INK, PAPER = (20, 20, 20), 245

Shown = dict[int, Frame]
"""By the frame's number."""


def indices_of(clip: Clip) -> list[int]:
    """The first frame, the quarters, the last, and the frames on both sides of each cut."""
    last = clip.frames - 1
    wanted = {round(last * part / 4) for part in range(5)}
    wanted |= {index for cut in clip.cuts for index in (cut - 1, cut, cut + 1) if 0 <= index <= last}
    return sorted(wanted)


def draw(clip: Clip, rows: Sequence[Row], *, units: Path, target: Path) -> None:
    """`units` holds the clip's folders of measured rows; a row that failed has none and is left out."""
    indices = indices_of(clip)
    pictures = {index: frame for index, frame in enumerate(frames_of(clip.source)) if index in indices}
    lines = [("picture", pictures), ("truth", _over(pictures, clip.truth, None))]
    for row in rows:
        folder = units / row.name.replace(" ", "-")
        if (folder / "matte.mkv").is_file() and (folder / "result.json").is_file():
            lines.append((row.name, _over(pictures, folder / "matte.mkv", folder / "fgr")))
    height, width = pictures[0].shape[:2]
    cell = (CELL_WIDTH, round(height * CELL_WIDTH / width))
    sheet = np.vstack([_header(indices)] + [_line(name, shown, cell) for name, shown in lines])
    target.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(target), sheet[..., ::-1]):
        raise OSError(f"{target} cannot be written")


def _over(pictures: Shown, matte: Path, colours: Path | None) -> Shown:
    """Cutouts over the loud colour, in the corrected colours where the row has some."""
    return {
        index: _laid(_coloured(pictures[index], colours, index), alpha)
        for index, alpha in enumerate(alphas_of(matte))
        if index in pictures
    }


def _coloured(picture: Frame, colours: Path | None, index: int) -> Frame:
    path = colours / f"{index:05}.png" if colours else None
    if path is None or not path.is_file():
        return picture
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _laid(frame: Frame, alpha: Alpha) -> Frame:
    part = alpha[..., None].astype(np.float32) / 255
    return np.rint(frame * part + LOUD * (1 - part)).astype(np.uint8)


def _line(name: str, shown: Shown, cell: tuple[int, int]) -> Frame:
    label = np.full((cell[1], LABEL_WIDTH, 3), PAPER, np.uint8)
    for number, word in enumerate(name.split(" ")):
        _write(label, word, 18 + 18 * number)
    cells = [cv2.resize(shown[index], cell, interpolation=cv2.INTER_AREA) for index in sorted(shown)]
    return np.hstack([label, *cells])


def _header(indices: list[int]) -> Frame:
    cells = [np.full((LABEL_HEIGHT, LABEL_WIDTH, 3), PAPER, np.uint8)]
    for index in indices:
        cell = np.full((LABEL_HEIGHT, CELL_WIDTH, 3), PAPER, np.uint8)
        _write(cell, f"frame {index}", 16)
        cells.append(cell)
    return np.hstack(cells)


def _write(on: Frame, text: str, y: int) -> None:
    cv2.putText(on, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
