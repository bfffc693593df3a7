"""process(): decode, matte, compose and encode at once, then prove the result and give it its name."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from apps.engine import compose, preview
from apps.engine.audio import Cut, SoundSource
from apps.engine.decode import Decoder, Picture
from apps.engine.encode import WRITERS, Cutout, ForegroundWriter, MatteWriter, Spec, Writer
from apps.engine.errors import BadOptions, Canceled, EngineFault, OutOfMemory
from apps.engine.facts import Survey, check_limits, survey
from apps.engine.flow import Flow, Lane
from apps.engine.formats import FORMATS
from apps.engine.matting.base import Matte, Model
from apps.engine.matting.despill import Despill
from apps.engine.options import Background, kept_seconds
from apps.engine.preview import PreviewWriter
from apps.engine.progress import Meter
from apps.engine.quality import Quality
from apps.engine.record import Record
from apps.engine.report import Notice, OutputFile, Progress, Result
from apps.engine.source import open_source
from apps.engine.task import Drafts, Task, check_format
from apps.engine.verify import Promise, verify, verify_matte

LANE_BYTES = 64 * 1024**2
"""Of pictures waiting between two stages; decides how many that are."""

MAX_LANE_DEPTH = 4

BROWSER_GIF_RATE = 50

EMPTY_SHARE = 0.002
"""Of a frame, below which nobody would call it a subject: 43 × 43 pixels at 720p."""


@dataclass(slots=True)
class Composed:
    """A frame ready to be written: the format's cutout, the matte that is kept, the subject's own colours."""

    cutout: Cutout
    matte: Cutout


def process(task: Task, *, tell: Callable[[Progress], None], canceled: threading.Event) -> Result:
    """Carry out one task. On any error nothing that it wrote remains."""
    found = survey(task.source, limits=None, keep_audio=_wants_sound(task))
    _check(task, found)
    _stop_if(canceled)
    model = task.load_model()
    _stop_if(canceled)
    cv2.setNumThreads(task.threads)
    drafts = Drafts()
    try:
        with tempfile.TemporaryDirectory(prefix="engine-") as scratch, Record(Path(scratch) / "thumbs") as record:
            work = Work(task, found, model, drafts, record, Path(scratch), canceled)
            with Meter(tell, _expected_frames(task, found)) as meter:
                return work.run(meter)
    except MemoryError as error:
        raise OutOfMemory("Memory ran out.") from error
    finally:
        drafts.discard()


def _wants_sound(task: Task) -> bool:
    return task.options.keep_audio and FORMATS[task.options.format].audio


def _check(task: Task, found: Survey) -> None:
    seconds = kept_seconds(task.options, found.facts.duration)
    if seconds <= 0:
        raise BadOptions(
            f"trim.start is behind the end of this video, which is {found.facts.duration:.3f} seconds long.",
            param="trim.start",
        )
    check_limits(found.facts, task.limits, seconds=seconds)
    check_format(found.facts, task.options, seconds)


def _expected_frames(task: Task, found: Survey) -> int:
    share = kept_seconds(task.options, found.facts.duration) / found.facts.duration
    return max(1, round(found.facts.frames * share))


def _stop_if(canceled: threading.Event) -> None:
    if canceled.is_set():
        raise Canceled("The work was canceled.")


class Work:
    """The stages of one task and what passes between them."""

    def __init__(
        self,
        task: Task,
        found: Survey,
        model: Model,
        drafts: Drafts,
        record: Record,
        scratch: Path,
        canceled: threading.Event,
    ) -> None:
        self._task = task
        self._found = found
        self._model = model
        self._drafts = drafts
        self._record = record
        self._scratch = scratch
        self._canceled = canceled
        self._row = FORMATS[task.options.format]
        background = Background() if self._row.shows_matte else task.options.background
        self._opaque = background.type != "transparent"
        self._background = compose.make_background(
            background, task.background_image, found.facts.width, found.facts.height
        )
        self._target = drafts.draft(task.target)
        self._matte = drafts.draft(task.matte) if task.matte else drafts.scratch(task.target, ".matte")
        self._foreground = drafts.draft(task.foreground) if task.foreground else None
        self._preview = drafts.draft(task.preview) if task.preview else None
        self._preview_clock = Fraction(1, 1000)
        self._decoded = self._inferred = 0
        self._quality = Quality()
        self._largest_share = 0.0
        self._despill = Despill(0.0 if "despill" in task.without else 1.0)
        self._zero: Fraction | None = None
        self._sound: SoundSource | None = None
        self._clock = Fraction(1, 1000)
        self._length = Fraction(kept_seconds(task.options, found.facts.duration))

    def run(self, meter: Meter) -> Result:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open_source(self._task.source, keep_audio=False))
            decoder = Decoder(
                source, self._found, scratch=self._scratch, trim=self._task.options.trim,
                max_seconds=self._task.limits.max_seconds, threads=self._task.threads,
            )  # fmt: skip
            self._run_stages(decoder, meter, stack)
            notices = decoder.notices(len(self._record))
        promise = self._promise()
        self._verify(promise, meter)
        outputs = self._describe(promise)
        _stop_if(self._canceled)
        self._drafts.publish()
        return Result(
            status="completed",
            warnings=[*notices, *self._notices()],
            input=self._found.facts.as_dict(),
            outputs=outputs,
            frames=len(self._record),
            frames_inferred=self._inferred,
            decoded_seconds=round(float(self._record.end - self._record.time(0)), 6),
            model=self._model.name,
            model_version=self._model.version,
            device=self._model.device,
            quality=self._quality.report(origin=float(self._zero or 0)),
        )

    def _run_stages(self, decoder: Decoder, meter: Meter, stack: contextlib.ExitStack) -> None:
        flow = Flow(self._canceled)
        facts = self._found.facts
        depth = max(1, min(MAX_LANE_DEPTH, LANE_BYTES // (facts.width * facts.height * 3)))
        pictures: Lane[Picture] = Lane(flow, depth)
        matted: Lane[tuple[Picture, Matte]] = Lane(flow, depth)
        composed: Lane[Composed] = Lane(flow, depth)
        flow.start("decode", lambda: self._decode(decoder, pictures))
        flow.start("compose", lambda: self._compose(matted, composed))
        flow.start("encode", lambda: self._encode(composed, decoder, meter, stack))
        # Here, in the main thread, so that a signal is seen between two frames.
        flow.run(lambda: self._infer(pictures, matted))
        flow.join()
        _stop_if(self._canceled)
        if len(self._record) != self._decoded:
            raise EngineFault(f"{self._decoded} frames were decoded and {len(self._record)} written.")

    def _decode(self, decoder: Decoder, pictures: Lane[Picture]) -> None:
        for picture in decoder.pictures():
            self._decoded += 1
            pictures.put(picture)
        pictures.end()

    def _infer(self, pictures: Lane[Picture], matted: Lane[tuple[Picture, Matte]]) -> None:
        session = None
        waiting: deque[Picture] = deque()
        for picture in pictures:
            if session is None:
                session = self._model.session(picture.rgb.shape[1], picture.rgb.shape[0])
            waiting.append(picture)
            for matte in session.push(_for_model(picture)):
                matted.put((waiting.popleft(), matte))
        for matte in session.flush() if session is not None else ():
            matted.put((waiting.popleft(), matte))
        if waiting:
            raise EngineFault(f"The model gave back {len(waiting)} mattes too few.")
        matted.end()

    def _compose(self, matted: Lane[tuple[Picture, Matte]], composed: Lane[Composed]) -> None:
        for picture, matte in matted:
            self._inferred += matte.inferred
            composed.put(self._compose_one(picture, matte))
        composed.end()

    def _compose_one(self, picture: Picture, matte: Matte) -> Composed:
        alpha, foreground = matte.alpha, matte.foreground
        if alpha.shape != picture.rgb.shape[:2]:
            raise EngineFault(f"The model gave a matte of {alpha.shape} for a frame of {picture.rgb.shape[:2]}.")
        foreground = picture.rgb if foreground is None else foreground
        if picture.alpha is not None:
            # Already cut out once: what was transparent stays so, and its colour is straight already.
            alpha, foreground = compose.multiply(alpha, picture.alpha), picture.rgb
        else:
            foreground = self._despill.step(picture.rgb, alpha, foreground)
        alpha = compose.snap(alpha)
        time, end = float(picture.time), float(picture.end)
        self._quality.add(time, end, picture=picture.rgb, alpha=alpha, cutout=foreground)
        encoded = compose.binary(alpha) if self._task.options.format == "gif" else alpha
        if self._background is None:
            rgb = compose.fill_hidden(foreground, encoded)
            own = rgb
        else:
            rgb = compose.over(foreground, alpha, self._background)
            encoded = np.full_like(alpha, 255)
            own = compose.fill_hidden(foreground, alpha) if self._foreground else rgb
        return Composed(
            Cutout(picture.index, picture.time, picture.end, rgb, encoded),
            Cutout(picture.index, picture.time, picture.end, own, alpha),
        )

    def _encode(self, composed: Lane[Composed], decoder: Decoder, meter: Meter, stack: contextlib.ExitStack) -> None:
        writers: list[tuple[Writer, bool]] = []
        try:
            for item in composed:
                if self._zero is None:
                    self._zero = item.cutout.time if self._task.options.trim else Fraction(0)
                    self._open_writers(writers, item.cutout, decoder, stack)
                self._write(writers, item)
                meter.processed(len(self._record), float(item.cutout.end / self._length))
            for writer, _ in writers:
                writer.close()
        except BaseException:
            for writer, _ in writers:
                writer.abandon()
            raise

    def _write(self, writers: list[tuple[Writer, bool]], item: Composed) -> None:
        for cutout in (item.cutout, item.matte):
            cutout.time -= self._zero or 0
            cutout.end -= self._zero or 0
        for writer, takes_matte in writers:
            writer.write(item.matte if takes_matte else item.cutout)
        self._largest_share = max(self._largest_share, float(item.matte.alpha.mean()) / 255)
        cutout = item.cutout
        self._record.add(cutout.time, cutout.end, matte=item.matte.alpha, rgb=cutout.rgb, alpha=cutout.alpha)

    def _open_writers(
        self, writers: list[tuple[Writer, bool]], first: Cutout, decoder: Decoder, stack: contextlib.ExitStack
    ) -> None:
        """The result's writer, and those that take the matte's side of each frame."""
        self._sound = self._open_sound(decoder, stack)
        spec = Spec(
            width=first.rgb.shape[1],
            height=first.rgb.shape[0],
            rate=Fraction(self._found.facts.fps).limit_denominator(1001) or Fraction(25),
            source_clock=decoder.clock,
            opaque=self._opaque,
            threads=self._task.threads,
            sound=self._sound,
        )
        result = WRITERS[self._row.name](self._target, spec)
        self._clock = result.clock
        writers.append((result, False))
        writers.append((MatteWriter(self._matte, spec), True))
        if self._preview is not None:
            # Sound is read once a file: each goes at its own pace.
            small = PreviewWriter(self._preview, replace(spec, sound=self._open_sound(decoder, stack)))
            self._preview_clock = small.clock
            writers.append((small, self._row.shows_matte))
        if self._foreground is not None:
            writers.append((ForegroundWriter(self._foreground, spec), True))

    def _open_sound(self, decoder: Decoder, stack: contextlib.ExitStack) -> SoundSource | None:
        if self._found.audio_span is None or self._zero is None:
            return None
        source = stack.enter_context(open_source(self._task.source))
        if source.audio is None:
            return None
        trim = self._task.options.trim
        end = decoder.absolute_end
        cut = Cut(self._found.origin + self._zero, end, is_trimmed=trim is not None)
        sound = SoundSource(source.container, source.audio, cut, self._found.audio_span)
        return sound if sound.kept_span is not None else None

    def _promise(self) -> Promise:
        return Promise(
            format=self._task.options.format,
            width=self._found.facts.width,
            height=self._found.facts.height,
            clock=self._clock,
            opaque=self._opaque,
            record=self._record,
            matte=self._matte,
            audio_span=self._sound.kept_span if self._sound is not None else None,
        )

    def _verify(self, promise: Promise, meter: Meter) -> None:
        def step(done: int) -> None:
            _stop_if(self._canceled)
            meter.verified(done, len(self._record))

        step(0)
        verify(self._target, promise, step=step)
        if self._opaque:
            verify_matte(self._matte, promise)
        if self._preview is not None:
            verify(self._preview, self._preview_promise(promise), step=lambda _: _stop_if(self._canceled))

    def _preview_promise(self, promise: Promise) -> Promise:
        width, height = preview.size_of(promise.width, promise.height)
        format_name = preview.format_of(opaque=self._opaque)
        return replace(
            promise, format=format_name, width=width, height=height, clock=self._preview_clock, matte=None
        )  # fmt: skip

    def _describe(self, promise: Promise) -> list[OutputFile]:
        row = self._row
        no_alpha = self._opaque or row.shows_matte
        alpha_mode = "none" if no_alpha else "binary" if row.name == "gif" else "straight"
        width, height = row.frame_size(promise.width, promise.height)
        outputs = [self._output("result", row.name, self._task.target, self._target, width, height, alpha_mode)]
        if self._task.matte is not None:
            outputs.append(
                self._output("matte", "mkv", self._task.matte, self._matte, promise.width, promise.height, "none")
            )
        if self._task.preview is not None and self._preview is not None:
            small = self._preview_promise(promise)
            size = FORMATS[small.format].frame_size(small.width, small.height)
            alpha_mode = "none" if self._opaque else "straight"
            outputs.append(self._output("preview", small.format, self._task.preview, self._preview, *size, alpha_mode))
        return outputs

    def _output(
        self, kind: str, format_name: str, target: Path, draft: Path, width: int, height: int, alpha_mode: str
    ) -> OutputFile:
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return OutputFile(
            kind=kind,
            format=format_name,
            path=str(target),
            bytes=draft.stat().st_size,
            width=width,
            height=height,
            frames=len(self._record),
            duration=round(float(self._record.end), 6),
            sha256=digest,
            alpha_mode=alpha_mode,
            has_audio=kind != "matte" and self._sound is not None,
        )

    def _notices(self) -> Iterator[Notice]:
        options, facts, row = self._task.options, self._found.facts, self._row
        if self._largest_share < EMPTY_SHARE:
            yield Notice("empty_matte", f"The model {options.model} found no subject in this clip; try another model.")
        if options.is_opaque and row.shows_matte:
            yield Notice("opaque_background", f"{row.name} holds the matte alone: its background was not used.")
        elif self._opaque and row.alpha:
            yield Notice("opaque_background", f"{row.name} could hold transparency; this one has a background.")
        if row.even_sides and (facts.width % 2 or facts.height % 2):
            yield Notice("size_padded", f"{row.name} needs even sides: the last row or column was repeated.")
        if facts.has_audio and options.keep_audio and not row.audio:
            yield Notice("audio_dropped", f"{row.name} cannot hold sound.")
        elif facts.has_audio and options.keep_audio and self._sound is None:
            yield Notice("audio_dropped", "The kept part of the video has no sound.")
        if self._sound is not None and self._sound.was_mended:
            yield Notice("audio_mended", "Parts of the sound could not be decoded and are silent.")
        if row.name == "gif" and facts.fps > BROWSER_GIF_RATE:
            yield Notice("gif_too_fast", f"Browsers show at most {BROWSER_GIF_RATE} GIF frames a second.")


def _for_model(picture: Picture) -> compose.Rgb:
    """What is already transparent is shown to the model as black, not as whatever hides beneath."""
    return picture.rgb if picture.alpha is None else compose.premultiplied(picture.rgb, picture.alpha)
