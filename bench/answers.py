"""What networks answered, kept by network and feed, so that a bench asks the same only once.

An ablation, a second format and a bare network look at the same pictures
through the same networks. Kept as they came, in float32: rounding to float16
moved pixels of a finished matte by up to 8 levels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime

from apps.engine.matting import weights
from apps.engine.matting.opening import Opened, Opener
from apps.engine.matting.scale import Map

RECORD, RECALL = "record", "recall"
MODES = (RECORD, RECALL)


class Answers:
    """One folder of them. RECORD asks every time and keeps what came; RECALL asks only what is not kept yet."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder = folder
        self.mode = mode
        self.recalled = self.computed = 0

    @contextmanager
    def for_product(self) -> Iterator[None]:
        """While it lasts, every network that the product opens in this process answers through here."""
        opens = Opener.open

        def open_through(opener: Opener, name: str) -> Opened:
            return self.through(opens(opener, name), name)

        with patch.object(Opener, "open", open_through):
            yield

    def through(self, opened: Opened, network: str) -> Opened:
        """The same network; one with a memory of its own (RVM) is left alone, since no frame repeats for it."""
        if len(opened.session.get_inputs()) > 1:
            return opened
        # The tag has the network, its precision and its weights; the revision is how its file was made from these.
        identity = f"{opened.tag} {weights.networks()[network].revision} {onnxruntime.__version__}"
        return replace(opened, session=Answering(opened.session, self, network, identity))


class Answering:
    """Looks like a session of one input, and gives its first output only."""

    def __init__(self, session: Any, answers: Answers, network: str, identity: str) -> None:
        self._session = session
        self._answers = answers
        self._folder = answers.folder / network
        self._identity = identity

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, Map]) -> list[Map]:
        path = self._path(outputs, feed)
        if self._answers.mode == RECALL and path.is_file():
            self._answers.recalled += 1
            return [np.load(path)]
        first: Map = self._session.run(outputs, dict(feed))[0]
        self._answers.computed += 1
        _keep(path, first)
        return [first]

    def _path(self, outputs: Sequence[str] | None, feed: Mapping[str, Map]) -> Path:
        (values,) = feed.values()
        digest = hashlib.sha256(f"{self._identity} {outputs} {values.shape} {values.dtype}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
        key = digest.hexdigest()
        return self._folder / key[:2] / f"{key}.npy"


def _keep(path: Path, answer: Map) -> None:
    """Whole or not at all: an interrupted bench goes on with what lies there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, answer)
    os.replace(part, path)
