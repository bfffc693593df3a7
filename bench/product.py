"""The product's own command line, run inside a process of the bench."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from apps.engine import __main__ as engine


def split(parser: argparse.ArgumentParser, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What is the bench's own, and behind `--` what is the engine's."""
    if "--" not in argv:
        parser.error("the engine's arguments follow after --")
    border = argv.index("--")
    return parser.parse_args(argv[:border]), argv[border + 1 :]


def run(arguments: Sequence[str]) -> int:
    """The row says which networks are measured, whatever is wished for on this machine."""
    os.environ.pop("MODEL_LICENCES", None)
    return engine.main(list(arguments))
