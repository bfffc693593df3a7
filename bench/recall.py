"""`python -m bench.recall ANSWERS (record|recall) -- ARGUMENTS`: the product itself, its networks' answers kept.

ARGUMENTS are those of `python -m apps.engine`, the product's own command line. A recorded run costs what the
product costs and a few milliseconds a frame; a recalled one's costs mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import product
from bench.answers import MODES, Answers


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recall", usage="%(prog)s ANSWERS (record|recall) -- ARGUMENTS"
    )
    parser.add_argument("answers", type=Path)
    parser.add_argument("mode", choices=MODES)
    given, arguments = product.split(parser, argv)
    answers = Answers(given.answers, given.mode)
    with answers.for_product():
        status = product.run(arguments)
    print(f"answers: {answers.recalled} recalled, {answers.computed} computed", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
