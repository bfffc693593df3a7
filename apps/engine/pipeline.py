"""process(): decode, matte, compose and encode at once, then prove the result and give it its name."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path

import cv2

from apps.engine import compose, poster, preview
from apps.engine.audio import Cut, SoundSource
from apps.engine.composer import Composed, Composer
from apps.engine.decode import Decoder, Picture, thinned
from apps.engine.depth import is_deep
from apps.engine.encode import WRITERS, Cutout, ForegroundWriter, MatteWriter, Spec, Writer
from apps.engine.errors import Canceled, EngineFault, LimitExceeded, OutOfMemory
from apps.engine.facts import Survey, check_limits, survey
from apps.engine.flow import Flow, Lane
from apps.engine.formats import FORMATS
from apps.engine.matting.base import Matte, Model
from apps.engine.newest import NewestFrame
from apps.engine.plan import Plan, make_plan
from apps.engine.poster import EMPTY_SHARE, Poster
from apps.engine.preview import PreviewWriter
from apps.engine.progress import Meter
from apps.engine.quality import Quality
from apps.engine.record import Record
from apps.engine.report import Notice, OutputFile, Progress, Result
from apps.engine.source import open_source
from apps.engine.task import Drafts, Task
from apps.engine.verify import Promise, verify, verify_matte

LANE_BYTES = 64 * 1024**2
"""Of pictures waiting between two stages; decides how many that are."""

MAX_LANE_DEPTH = 4

Side = Callable[[Composed], Cutout]
CUTOUT: Side = attrgetter("cutout")
MATTE: Side = attrgetter("matte")


def process(task: Task, *, tell: Callable[[Progress], None], canceled: threading.Event) -> Result:
    """Carry out one task. On any error nothing that it wrote remains."""
    found = survey(task.source, limits=None, keep_audio=_wants_sound(task))
    plan = make_plan(found.facts, task.options)
    _check(task, found, plan)
    _stop_if(canceled)
    model = task.load_model()
    _stop_if(canceled)
    cv2.setNumThreads(task.threads)
    drafts = Drafts()
    try:
        with tempfile.TemporaryDirectory(prefix="engine-") as scratch, Record(Path(scratch) / "thumbs") as record:
            work = Work(task, found, plan, model, drafts, record, Path(scratch), canceled)
            with Meter(tell, plan.frames) as meter:
                return work.run(meter)
    except MemoryError as error:
        raise OutOfMemory("Memory ran out.") from error
    finally:
        drafts.discard()


def _wants_sound(task: Task) -> bool:
    return task.options.keep_audio and FORMATS[task.options.format].audio


def _check(task: Task, found: Survey, plan: Plan) -> None:
    check_limits(found.facts, task.limits, seconds=plan.seconds)
    side, most = max(plan.layout.width, plan.layout.height), task.limits.max_side
    if most is not None and side > most:
        message = f"The canvas is {side} pixels long; at most {most} are allowed. Choose a smaller one."
        raise LimitExceeded(message, param="composition.canvas")


def _stop_if(canceled: threading.Event) -> None:
    if canceled.is_set():
        raise Canceled("The work was canceled.")


class Work:
    """The stages of one task and what passes between them."""

    def __init__(
        self,
        task: Task,
        found: Survey,
        plan: Plan,
        model: Model,
        drafts: Drafts,
        record: Record,
        scratch: Path,
        canceled: threading.Event,
    ) -> None:
        self._task = task
        self._found = found
        self._plan = plan
        self._model = model
        self._drafts = drafts
        self._record = record
        self._scratch = scratch
        self._canceled = canceled
        self._row = FORMATS[task.options.format]
        self._opaque = plan.background.type != "transparent"
        # A canvas of another size is filled in eight bits.
        is_plain = plan.layout.is_plain(found.facts.width, found.facts.height)
        self._is_deep = self._row.deep and is_plain and is_deep(found.facts.pixel_format)
        self._target = drafts.draft(task.target)
        self._matte = drafts.draft(task.matte) if task.matte else drafts.scratch(task.target, ".matte")
        self._proof = self._matte
        self._foreground = drafts.draft(task.foreground) if task.foreground else None
        self._preview = drafts.draft(task.preview) if task.preview else None
        self._newest = NewestFrame(drafts.passing(task.newest)) if task.newest else None
        self._poster = _poster(task, plan, drafts)
        self._decoded = self._inferred = 0
        self._quality = Quality()
        self._composer = Composer(task, plan, found.facts, self._quality)
        if self._composer.alters:
            self._proof = drafts.scratch(task.target, ".alpha")
        self._zero: Fraction | None = None
        self._sound: SoundSource | None = None
        self._clock = self._preview_clock = Fraction(1, 1000)
        self._length = Fraction(plan.seconds)

    def run(self, meter: Meter) -> Result:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open_source(self._task.source, keep_audio=False))
            decoder = Decoder(
                source, self._found, scratch=self._scratch, trim=self._plan.trim,
                max_seconds=self._task.limits.max_seconds, threads=self._task.threads, deep=self._is_deep,
            )  # fmt: skip
            self._run_stages(decoder, meter, stack)
            notices = decoder.notices()
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
            networks=[dict(network) for network in self._model.networks],
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
        for picture in thinned(decoder.pictures(), self._least_gap):
            self._decoded += 1
            pictures.put(picture)
        pictures.end()

    @property
    def _least_gap(self) -> Fraction:
        """Seconds between two frames that are kept; half a frame less than the mean, because clocks round."""
        every = self._plan.keep_every
        return Fraction(0) if every == 1 else (every - Fraction(1, 2)) / Fraction(self._found.facts.fps)

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
            composed.put(self._composer.compose(picture, matte))
        composed.end()

    def _encode(self, composed: Lane[Composed], decoder: Decoder, meter: Meter, stack: contextlib.ExitStack) -> None:
        writers: list[tuple[Writer, Side]] = []
        try:
            for item in composed:
                if self._zero is None:
                    # What has no sound has no clock either that could begin before its first picture.
                    begins_here = self._plan.trim or not self._row.audio
                    self._zero = item.cutout.time if begins_here else Fraction(0)
                    self._open_writers(writers, item, decoder, stack)
                self._write(writers, item)
                meter.processed(len(self._record), float(item.cutout.end / self._length))
            for writer, _ in writers:
                writer.close()
            if self._poster is not None:
                self._poster.close()
        except BaseException:
            for writer, _ in writers:
                writer.abandon()
            raise

    def _write(self, writers: list[tuple[Writer, Side]], item: Composed) -> None:
        for cutout in (item.cutout, item.matte):
            cutout.time -= self._zero or 0
            cutout.end -= self._zero or 0
        for writer, side in writers:
            writer.write(side(item))
        cutout = item.cutout
        if self._newest is not None:
            self._newest.show(cutout)
        if self._poster is not None:
            self._poster.show(cutout)
        self._record.add(
            cutout.time, cutout.end, matte=item.matte.alpha, rgb=cutout.rgb, alpha=cutout.alpha,
            is_altered=self._composer.alters,
        )  # fmt: skip

    def _open_writers(
        self, writers: list[tuple[Writer, Side]], first: Composed, decoder: Decoder, stack: contextlib.ExitStack
    ) -> None:
        """One for each file, with the side of a frame that it takes."""
        self._sound = self._open_sound(decoder, stack)
        spec = Spec(
            width=first.cutout.rgb.shape[1],
            height=first.cutout.rgb.shape[0],
            rate=Fraction(self._found.facts.fps / self._plan.keep_every).limit_denominator(1001) or Fraction(25),
            source_clock=decoder.clock,
            opaque=self._opaque,
            threads=self._task.threads,
            sound=self._sound,
            deep=self._is_deep,
        )
        result = WRITERS[self._row.name](self._target, spec)
        self._clock = result.clock
        writers.append((result, CUTOUT))
        if self._composer.alters:
            writers.append((MatteWriter(self._proof, spec), CUTOUT))
        if self._preview is not None:
            # Sound is read once a file: each goes at its own pace.
            small = PreviewWriter(self._preview, replace(spec, sound=self._open_sound(decoder, stack)))
            self._preview_clock = small.clock
            writers.append((small, CUTOUT))
        height, width = first.matte.alpha.shape
        spec = replace(spec, width=width, height=height)
        writers.append((MatteWriter(self._matte, spec), MATTE))
        if self._foreground is not None:
            writers.append((ForegroundWriter(self._foreground, spec), MATTE))

    def _open_sound(self, decoder: Decoder, stack: contextlib.ExitStack) -> SoundSource | None:
        if self._found.audio_span is None or self._zero is None:
            return None
        source = stack.enter_context(open_source(self._task.source))
        if source.audio is None:
            return None
        is_trimmed = self._plan.trim is not None
        cut = Cut(self._found.origin + self._zero, decoder.absolute_end, is_trimmed=is_trimmed)
        sound = SoundSource(
            source.container, source.audio, cut, self._found.audio_span,
            is_torn=self._found.is_sound_torn, splices=self._found.splices,
        )  # fmt: skip
        return sound if sound.kept_span is not None else None

    def _promise(self) -> Promise:
        return Promise(
            format=self._task.options.format,
            width=self._plan.layout.width,
            height=self._plan.layout.height,
            clock=self._clock,
            opaque=self._opaque,
            record=self._record,
            matte=self._proof,
            audio_span=self._sound.kept_span if self._sound is not None else None,
        )

    def _verify(self, promise: Promise, meter: Meter) -> None:
        def step(done: int) -> None:
            _stop_if(self._canceled)
            meter.verified(done, len(self._record))

        step(0)
        verify(self._target, promise, step=step)
        if self._opaque or self._composer.alters:
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
        row, facts = self._row, self._found.facts
        no_alpha = self._opaque or row.shows_matte
        alpha_mode = "none" if no_alpha else "binary" if row.name == "gif" else "straight"
        width, height = row.frame_size(promise.width, promise.height)
        outputs = [self._output("result", row.name, self._task.target, self._target, width, height, alpha_mode)]
        if self._task.matte is not None:
            outputs.append(
                self._output("matte", "mkv", self._task.matte, self._matte, facts.width, facts.height, "none")
            )
        if self._task.preview is not None and self._preview is not None:
            small = self._preview_promise(promise)
            size = FORMATS[small.format].frame_size(small.width, small.height)
            alpha_mode = "none" if self._opaque else "straight"
            outputs.append(self._output("preview", small.format, self._task.preview, self._preview, *size, alpha_mode))
        if self._task.poster is not None and self._poster is not None:
            size = poster.size_of(promise.width, promise.height)
            alpha_mode = "none" if self._opaque else "straight"
            outputs.append(
                self._output("poster", poster.FORMAT, self._task.poster, self._poster.path, *size, alpha_mode)
            )
        return outputs

    def _output(
        self, kind: str, format_name: str, target: Path, draft: Path, width: int, height: int, alpha_mode: str
    ) -> OutputFile:
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        is_video = kind != "poster"
        return OutputFile(
            kind=kind,
            format=format_name,
            path=str(target),
            bytes=draft.stat().st_size,
            width=width,
            height=height,
            frames=len(self._record) if is_video else 1,
            duration=round(float(self._record.end), 6) if is_video else 0.0,
            sha256=digest,
            alpha_mode=alpha_mode,
            has_audio=kind in ("result", "preview") and self._sound is not None,
        )

    def _notices(self) -> Iterator[Notice]:
        options, facts, layout, row = self._task.options, self._found.facts, self._plan.layout, self._row
        yield from self._plan.notices
        if self._composer.largest_share < EMPTY_SHARE:
            yield Notice("empty_matte", f"The model {options.model} found no subject in this clip; try another model.")
        elif not self._composer.largest_shown:
            yield Notice("nothing_shown", "What was asked of edge or composition leaves nothing of the subject to see.")
        if options.is_opaque and row.shows_matte:
            yield Notice("opaque_background", f"{row.name} holds the matte alone: its background was not used.")
        elif self._opaque and row.alpha:
            yield Notice("opaque_background", f"{row.name} could hold transparency; this one has a background.")
        if row.even_sides and (layout.width % 2 or layout.height % 2):
            yield Notice("size_padded", f"{row.name} needs even sides: the last row or column was repeated.")
        if facts.has_audio and options.keep_audio and not row.audio:
            yield Notice("audio_dropped", f"{row.name} cannot hold sound.")
        elif facts.has_audio and options.keep_audio and self._sound is None:
            yield Notice("audio_dropped", "The kept part of the video has no sound.")
        if self._sound is not None and self._sound.was_mended:
            yield Notice("audio_mended", "Parts of the sound could not be decoded and are silent.")


def _poster(task: Task, plan: Plan, drafts: Drafts) -> Poster | None:
    if task.poster is None:
        return None
    return Poster(drafts.draft(task.poster), frames=plan.frames, opaque=plan.background.type != "transparent")


def _for_model(picture: Picture) -> compose.Rgb:
    """What is already transparent is shown to the model as black, not as whatever hides beneath."""
    return picture.rgb if picture.alpha is None else compose.premultiplied(picture.rgb, picture.alpha)
