"""`python -m apps.engine IN OUT`: the engine at a terminal, and as the house's child process."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from apps.engine.child import Limits
from apps.engine.composition import ANCHORS, Composition, parse_composition
from apps.engine.contain import contain
from apps.engine.cores import MOST_THREADS
from apps.engine.edge import parse_edge
from apps.engine.errors import BadOptions, Canceled, EngineError, EngineFault, NoRoom, OutOfMemory, is_full_disk
from apps.engine.formats import FORMATS
from apps.engine.options import FITS, MODELS, ON_LIMIT, Background, Options, parse_background, parse_preview, parse_trim
from apps.engine.report import Progress, Result, in_short

BAR_WIDTH = 30

log = logging.getLogger("apps.engine")


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that a wrong argument is reported like every other error."""

    def error(self, message: str) -> NoReturn:
        raise BadOptions(message[0].upper() + message[1:] + ".")


def make_parser() -> Parser:
    parser = Parser(prog="python -m apps.engine", description="Remove the background from a video.", allow_abbrev=False)
    parser.add_argument("input", metavar="IN", help="any video file (write -- before a name that begins with -)")
    parser.add_argument("output", metavar="OUT", nargs="?", help="the file to write")
    parser.add_argument("--model", default=MODELS[0], help=f"{', '.join(MODELS)}; chroma for a green screen")
    parser.add_argument("--format", default="webm", help=", ".join(FORMATS))
    parser.add_argument("--bg-color", metavar="C", help='"#RRGGBB", a CSS basic name, or R,G,B')
    parser.add_argument("--bg-image", metavar="FILE", type=Path, help="JPEG, PNG or WebP to lay the cutout over")
    parser.add_argument("--fit", choices=FITS, help="how the background image fills the frame")
    parser.add_argument("--matte", metavar="FILE", type=Path, help="also write the matte, lossless gray FFV1 in MKV")
    parser.add_argument("--preview", metavar="FILE", type=Path, help="also write a small MP4 (stacked) for browsers")
    parser.add_argument("--poster", metavar="FILE", type=Path, help="also write one frame of it as a small WebP")
    parser.add_argument("--fgr", metavar="DIR", type=Path, help="also write the straight foreground as NNNNN.png")
    parser.add_argument("--trim", metavar="S:E", help="keep seconds S to E from the first frame; either may be empty")
    parser.add_argument(
        "--newest", metavar="FILE", type=Path, help="keep a small WebP of the newest frame there while it works"
    )
    parser.add_argument("--preview-duration", type=float, metavar="S", help="only the first 0.5 to 10 s, small")
    _add_composing(parser)
    parser.add_argument("--no-audio", action="store_true", help="leave the sound out")
    parser.add_argument("--threads", type=_threads, default=0, metavar="N", help="0 means all cores")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16", "int8"), default="auto", help="of the networks")
    parser.add_argument("--max-seconds", type=_positive, metavar="S")
    parser.add_argument("--max-side", type=_count, metavar="PIXELS")
    parser.add_argument("--max-fps", type=_positive, metavar="FPS")
    parser.add_argument("--models-dir", type=Path, default=None, metavar="DIR", help="default: $DATA_DIR/models")
    only = "only networks under Apache or MIT licences, as MODEL_LICENCES=permissive does"
    parser.add_argument("--permissive", action="store_true", help=only)
    parser.add_argument("--probe", action="store_true", help="only say what IN is")
    parser.add_argument("--json", action="store_true", help="report on stdout, one JSON object a line")
    parser.add_argument("--without", metavar="STAGE,…", help=argparse.SUPPRESS)
    parser.add_argument("--contain", type=int, default=None, metavar="PID", help=argparse.SUPPRESS)
    return parser


def _add_composing(parser: Parser) -> None:
    """Where the frame lies, and its edge."""
    parser.add_argument("--canvas", metavar="WxH", help="size of the result in pixels, 16 to 4096 a side")
    parser.add_argument("--anchor", help=f"where the frame lies on the canvas: {', '.join(ANCHORS)}")
    parser.add_argument(
        "--scale", type=float, metavar="S", help="of the frame, 0.05 to 4; at 1 it just fits on the canvas"
    )
    parser.add_argument("--offset", metavar="X,Y", help="move the frame right and down by pixels of the canvas")
    parser.add_argument("--feather", type=float, metavar="PX", help="soften the edge inwards, 0 to 20 pixels")
    parser.add_argument(
        "--choke", type=float, metavar="PX", help="shrink the matte, -10 to 10 pixels; negative grows it"
    )
    parser.add_argument("--despill", type=float, metavar="SHARE", help="take a green or blue wall's light off, 0 to 1")
    parser.add_argument("--on-limit", default=ON_LIMIT[0], help="reject or reduce what is too much for gif and webp")


def _joined(argv: list[str]) -> list[str]:
    """`--offset -10,5` as one argument: apart, the parser takes what begins with a dash for an option."""
    joined: list[str] = []
    for text in argv:
        if joined and joined[-1] == "--offset" and "--" not in joined:
            joined[-1] = f"--offset={text}"
        else:
            joined.append(text)
    return joined


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def _threads(text: str) -> int:
    if (count := _count(text)) > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_THREADS}; 0 means one for each core")
    return count


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError("must be a number greater than 0")


def main(argv: list[str]) -> int:
    started = time.monotonic()
    canceled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: canceled.set())
    as_json = "--json" in argv
    if as_json:
        # Somebody keeps these lines; at a terminal only warnings are worth one.
        logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
        log.setLevel(logging.INFO)
    error: EngineError | None = None
    try:
        result = run(argv, canceled)
    except EngineError as refusal:
        error = refusal
    except SystemExit:
        # --help has said all there is to say.
        return 0
    except MemoryError:
        error = OutOfMemory("Memory ran out.")
    except BaseException as fault:
        log.exception("fault")
        kind = NoRoom if is_full_disk(fault) else EngineFault
        error = kind(f"{type(fault).__name__}: {fault}")
    if error is not None:
        result = _failed(error)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result.seconds = round(time.monotonic() - started, 3)
    result.cpu_seconds = round(usage.ru_utime + usage.ru_stime, 3)
    # Linux counts in KiB, macOS in bytes.
    result.peak_rss_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    log.info("%s frames=%s seconds=%s peak_rss_bytes=%s code=%s", *_summary(result))
    _say(result, as_json=as_json)
    return 0 if error is None else error.exit_code


def _summary(result: Result) -> tuple[object, ...]:
    code = result.error["code"] if result.error else "-"
    return result.status, result.frames, result.seconds, result.peak_rss_bytes, code


def _failed(error: EngineError) -> Result:
    return Result(
        status="canceled" if isinstance(error, Canceled) else "failed",
        error={"code": error.code, "message": str(error), "param": error.param},
    )


def run(argv: list[str], canceled: threading.Event) -> Result:
    arguments = make_parser().parse_args(_joined(argv))
    missing: list[str] = []
    if arguments.contain is not None:
        on_cpu = arguments.device == "cpu" or not _has_gpu()
        missing = contain(parent=arguments.contain, on_cpu=on_cpu, only_looks=arguments.probe)
    try:
        result = _probe(arguments) if arguments.probe else _process(arguments, canceled)
    except BaseException:
        _drop_older_output(arguments)
        raise
    result.not_contained = missing
    return result


def _has_gpu() -> bool:
    """By its device file: a container may be given any of several cards, and WSL has a name of its own."""
    return Path("/dev/dxg").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def _drop_older_output(arguments: argparse.Namespace) -> None:
    """After a failure nothing bears OUT's name: what an earlier run left must not pass for this one's result."""
    if arguments.probe or arguments.output is None:
        return
    target, given = Path(arguments.output), (Path(arguments.input), arguments.bg_image)
    with contextlib.suppress(OSError):
        # A folder or a device is not ours to remove, and a picture that was given least of all.
        if target.is_file() and not any(path and path.exists() and path.samefile(target) for path in given):
            target.unlink()


def _limits(arguments: argparse.Namespace) -> Limits:
    return Limits(arguments.max_seconds, arguments.max_side or None, arguments.max_fps)


def _probe(arguments: argparse.Namespace) -> Result:
    # Only now: the codecs' libraries start threads, and walls must stand before.
    from apps.engine.facts import survey

    facts = survey(Path(arguments.input), limits=_limits(arguments)).facts
    return Result(status="completed", input=facts.as_dict(), frames=facts.frames)


def _process(arguments: argparse.Namespace, canceled: threading.Event) -> Result:
    options = read_options(arguments)
    if arguments.output is None:
        raise BadOptions("OUT is missing: name the file to write, or use --probe.", param="output")

    from apps.engine.matting import stages
    from apps.engine.matting.load import load
    from apps.engine.pipeline import process
    from apps.engine.task import Task

    permissive = _is_permissive(arguments)
    without = stages.parse(arguments.without, options.model, permissive=permissive)
    task = Task(
        source=Path(arguments.input),
        target=Path(arguments.output),
        options=options,
        load_model=lambda: load(
            arguments.model, models_dir=_models_dir(arguments), device=arguments.device,
            threads=arguments.threads, precision=arguments.precision, permissive=permissive, without=without,
        ),
        matte=arguments.matte,
        foreground=arguments.fgr,
        preview=arguments.preview,
        poster=arguments.poster,
        newest=arguments.newest,
        background_image=arguments.bg_image,
        limits=_limits(arguments),
        threads=arguments.threads,
        without=without,
    )  # fmt: skip
    return process(task, tell=_teller(as_json=arguments.json), canceled=canceled)


def _models_dir(arguments: argparse.Namespace) -> Path:
    if arguments.models_dir is not None:
        return Path(arguments.models_dir)
    return Path(os.environ.get("DATA_DIR", "data")) / "models"


def _is_permissive(arguments: argparse.Namespace) -> bool:
    wish = os.environ.get("MODEL_LICENCES") or "all"
    if wish not in ("all", "permissive"):
        # Misspelt, it must not let in what it was meant to keep out.
        raise BadOptions("MODEL_LICENCES must be all or permissive.", param="permissive")
    return bool(arguments.permissive) or wish == "permissive"


def read_options(arguments: argparse.Namespace) -> Options:
    """What was asked of the engine; paths and machine apart."""
    if arguments.model not in (*MODELS, "chroma"):
        raise BadOptions(f"model must be one of {', '.join(MODELS)}.", param="model")
    return Options(
        model=arguments.model,
        format=arguments.format,
        background=_background(arguments),
        trim=_trim(arguments.trim),
        keep_audio=not arguments.no_audio,
        composition=_composition(arguments),
        on_limit=arguments.on_limit,
        preview_duration=parse_preview(arguments.preview_duration),
        edge=parse_edge(_given(feather_px=arguments.feather, choke_px=arguments.choke, despill=arguments.despill)),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _composition(arguments: argparse.Namespace) -> Composition:
    offset = _pair(arguments.offset, ",", "offset must be X,Y in pixels, for example 40,-10.", "offset", ("x", "y"))
    canvas = _pair(
        arguments.canvas, "x", "canvas must be WIDTHxHEIGHT, for example 1080x1920.", "canvas", ("width", "height")
    )
    foreground = _given(anchor=arguments.anchor, scale=arguments.scale, offset=offset)
    return parse_composition(_given(canvas=canvas, foreground=foreground))


def _pair(text: str | None, mark: str, message: str, param: str, names: tuple[str, str]) -> dict[str, int] | None:
    """Two whole numbers in one argument."""
    if text is None:
        return None
    try:
        first, second = (int(part) for part in text.split(mark))
    except ValueError:
        raise BadOptions(message, param=param) from None
    return {names[0]: first, names[1]: second}


def _background(arguments: argparse.Namespace) -> Background:
    if arguments.bg_color is not None and arguments.bg_image is not None:
        raise BadOptions("Give bg_color or bg_image, not both.", param="bg_image")
    if arguments.fit is not None and arguments.bg_image is None:
        raise BadOptions("fit is for a background image.", param="fit")
    if arguments.bg_image is not None:
        return parse_background("image", None, arguments.fit)
    if arguments.bg_color is None:
        return Background()
    color: object = arguments.bg_color
    if "," in arguments.bg_color:
        try:
            color = [float(part) if "." in part else int(part) for part in arguments.bg_color.split(",")]
        except ValueError:
            color = arguments.bg_color
    return parse_background("color", color, None)


def _trim(text: str | None) -> tuple[float, float | None] | None:
    if text is None:
        return None
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        given = _given(start=float(start) if start else None, end=float(end) if end else None)
    except ValueError:
        raise BadOptions("trim must be S:E in seconds, for example 1.5:4.", param="trim") from None
    return parse_trim(given)


class _teller:
    """Progress as JSON on stdout, or as a bar on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, progress: Progress) -> None:
        if self._as_json:
            fields = {name: getattr(progress, name) for name in progress.__dataclass_fields__}
            print(json.dumps({"progress": fields}), flush=True)
            return
        filled = round(BAR_WIDTH * progress.percent / 100)
        eta = "" if progress.eta_seconds is None else f", {progress.eta_seconds:.0f} s left"
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        text = f"[{bar}] {progress.percent:5.1f} % {progress.stage} {progress.frames_done}/{progress.frames_total}{eta}"
        print(f"\r{text:<90}", end="", file=sys.stderr, flush=True)


def _say(result: Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.as_dict()), flush=True)
        return
    print(file=sys.stderr)
    if result.error is not None:
        print(f"{result.error['code']}: {result.error['message']}", file=sys.stderr)
        return
    for notice in result.warnings:
        print(f"warning: {notice.message}", file=sys.stderr)
    if not result.outputs:
        print(json.dumps(result.input, indent=1))
    if result.quality is not None:
        print(f"quality: {in_short(result.quality)}", file=sys.stderr)
    for output in result.outputs:
        print(f"{output.path}: {output.frames} frames, {output.bytes} bytes, verified", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
