"""A bench folder drawn by code: two clips over a green screen, and a judge that is simple but honest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from bench.video import write_matte
from tests import clips

JUDGE = '''
"""mad of a gray matte; a delivered file scores what loss.txt says above it."""
import argparse, json, sys
from pathlib import Path
import av
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("command")
for name in ("--gt", "--pred", "--json", "--fgr"):
    parser.add_argument(name)
given = parser.parse_args()

def grays(path):
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="gray").astype(float) / 255 for frame in clip.decode(video=0)]

truth, shown = grays(Path(given.gt) / "alpha.mkv"), grays(given.pred)
scores = {"complete": len(truth) == len(shown), "frames_gt": len(truth), "frames_pred": len(shown), "iou": 1.0}
loss = Path(__file__).with_name("loss.txt")
if given.pred.endswith(".mkv"):
    scores["mad"] = 1000 * float(np.mean([np.abs(a - b).mean() for a, b in zip(truth, shown)]))
else:
    scores["mad"] = float(loss.read_text()) if loss.exists() else 0.5
scores["fgr_mse"] = float(len(list(Path(given.fgr).glob("*.png")))) if given.fgr else None
Path(given.json).write_text(json.dumps({"summary": scores}))
sys.exit(0 if scores["complete"] else 3)
'''

FRAMES = 6


def make_bench(folder: Path) -> Path:
    """`still` is of group human, `jump` of group object with a cut before its frame 3."""
    folder.mkdir()
    (folder / "score.py").write_text(JUDGE)
    make_clip(folder / "dev" / "still", group="human", tags=["portrait"], cuts=[])
    make_clip(folder / "dev" / "jump", group="object", tags=["scene-cut", "glass"], cuts=[3])
    return folder


def make_clip(folder: Path, **meta: object) -> None:
    (folder / "fgr").mkdir(parents=True)
    clips.make_clip(folder / "input.mp4", frames=FRAMES)
    write_matte(folder / "alpha.mkv", (clips.matte(index) for index in range(FRAMES)))
    Image.fromarray(np.full((clips.HEIGHT, clips.WIDTH, 3), clips.SUBJECT, np.uint8)).save(folder / "fgr" / "00000.png")
    told = {"frames": FRAMES, "width": clips.WIDTH, "height": clips.HEIGHT, **meta}
    (folder / "meta.json").write_text(json.dumps(told))
