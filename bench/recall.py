"""`python -m bench.recall ANSWERS (record|recall) -- ARGUMENTS`: the product itself, its networks' answers kept.

ARGUMENTS are those of `python -m apps.engine`, the product's own command line. A recorded run costs what the
product costs and a few milliseconds a frame; a recalled one's costs mean nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from apps.engine import __main__ as engine
from bench.answers import MODES, Answers


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recall", usage="%(prog)s ANSWERS (record|recall) -- ARGUMENTS"
    )
    parser.add_argument("answers", type=Path)
    parser.add_argument("mode", choices=MODES)
    if "--" not in argv:
        parser.error("the engine's arguments follow after --")
    border = argv.index("--")
    given = parser.parse_args(argv[:border])
    # The row says which networks are measured, whatever is wished for on this machine.
    os.environ.pop("MODEL_LICENCES", None)
    answers = Answers(given.answers, given.mode)
    with answers.for_product():
        status = engine.main(argv[border + 1 :])
    print(f"answers: {answers.recalled} recalled, {answers.computed} computed", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
