"""`python -m bench.oracle CLIP TRUTH -- ARGUMENTS`: the product itself, its networks replaced by the truth.

What a model would be with networks that never err, at the sizes at which they
look: what remains is the loss by resolution, carrying, steadying and edges,
and what the model lacks against it is its networks' doing. Only for models
whose networks know nothing of other frames.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from apps.engine.matting.base import Frame
from apps.engine.matting.modnet import MODNet
from apps.engine.matting.opening import Opened, Opener
from apps.engine.matting.scale import Map
from apps.engine.matting.u2net import MEAN, STD, U2Net
from bench import product
from bench.video import Alpha, alphas_of, frames_of

SHOWN: dict[str, Callable[[Map], Map]] = {
    "u2net": lambda feed: (feed * STD[0] + MEAN[0]) / 255,
    "modnet": lambda feed: (feed + 1) / 2,
}
"""A gray picture's values, 0..1, from the first plane of what a network is fed with it."""


class Echo:
    """Looks like a network of one input; its answer is the picture that it was shown."""

    def __init__(self, session: Any, network: str) -> None:
        self._session = session
        self._network = network

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, Map]) -> list[Map]:
        (values,) = feed.values()
        return [np.asarray(SHOWN[self._network](values[:, :1]), np.float32)]


class Truth:
    """The true matte of each of a clip's frames, found by the frame's own pixels."""

    def __init__(self, clip: Path, truth: Path) -> None:
        pairs = zip(frames_of(clip), alphas_of(truth), strict=True)
        self._alphas: dict[bytes, Alpha] = {_digest(frame): alpha for frame, alpha in pairs}

    def picture(self, frame: Frame) -> Frame:
        """The matte of a frame or of its mirror image as a gray picture; KeyError for one that is not the clip's."""
        alpha = self._alphas.get(_digest(frame))
        if alpha is None:
            alpha = self._alphas[_digest(frame[:, ::-1])][:, ::-1]
        return np.repeat(alpha[..., None], 3, axis=2)

    @contextmanager
    def for_product(self) -> Iterator[None]:
        """While it lasts, the product's networks in this process see mattes instead of frames, and echo them."""
        opens = Opener.open

        def open_echo(opener: Opener, name: str) -> Opened:
            opened = opens(opener, name)
            return replace(opened, session=Echo(opened.session, name))

        with ExitStack() as stack:
            stack.enter_context(patch.object(Opener, "open", open_echo))
            for network in (U2Net, MODNet):
                stack.enter_context(patch.object(network, "predict_many", self._shown_to(network.predict_many)))
            yield

    def _shown_to(self, predict: Callable[[Any, Sequence[Frame]], list[Map]]) -> Callable[..., list[Map]]:
        return lambda network, frames: predict(network, [self.picture(frame) for frame in frames])


def _digest(frame: Frame) -> bytes:
    return sha256(np.ascontiguousarray(frame).data).digest()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.oracle", usage="%(prog)s CLIP TRUTH -- ARGUMENTS")
    parser.add_argument("clip", type=Path)
    parser.add_argument("truth", type=Path)
    given, arguments = product.split(parser, argv)
    with Truth(given.clip, given.truth).for_product():
        return product.run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
