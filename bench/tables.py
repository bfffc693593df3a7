"""The figures in Markdown: groups and roles, never a clip's name. One function per table; add another to TABLES."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.folder import ALL, scopes
from bench.report import SCORES, WORST_LOSS, Report, machine
from bench.rows import MODEL, WITHOUT

NONE = "–"
DIGITS = {"grad": 2, "dtssd": 2, "dtssd_b": 2, "iou": 3, "fgr_mse": 2, "ms": 0, "cpu_seconds": 2, "peak_mb": 0}
HEADS = {"ms": "ms/frame", "cpu_seconds": "CPU-s/frame", "inferred": "frames inferred", "peak_mb": "peak MB"}
COLUMNS = (*SCORES, *HEADS)


def markdown(report: Report) -> str:
    return "\n\n".join(table for make in TABLES if (table := make(report)))


def _facts(report: Report) -> str:
    facts = machine(report.threads)
    frames = sum(clip.frames for clip in report.clips)
    return (
        f"{len(report.clips)} sequences, {frames} frames. {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['threads']} threads; {facts['system']}, Python {facts['python']}, "
        f"ONNX Runtime {facts['onnxruntime']}."
    )


def _scopes(report: Report) -> str:
    """One table per group, over all, and per role."""
    return "\n\n".join(_scope(report, name, clips) for name, clips in scopes(report.clips).items())


def _scope(report: Report, name: str, clips: list[str]) -> str:
    title = f"### {name[0].upper()}{name[1:]} ({len(clips)} sequence{'s' * (len(clips) != 1)})"
    lines = [
        [row.name, *_cells(report.figures(row.name, clips), COLUMNS)] for row in report.rows if row.kind != WITHOUT
    ]
    colours = [report.uncorrected[clip]["fgr_mse"] for clip in clips if clip in report.uncorrected]
    known = [value for value in colours if value is not None]
    if known and len(colours) == len(clips):
        figures = {"fgr_mse": sum(known) / len(known)}
        lines.append(["uncorrected picture", *_cells(figures, COLUMNS)])
    return title + "\n\n" + _table(["", *(HEADS.get(column, column) for column in COLUMNS)], lines)


def _ablations(report: Report) -> str:
    """What each stage is worth: the whole model, then the same without one stage and, in brackets, the change."""
    shown = ("mad", "dtssd", "grad", "mad_b", "fgr_mse", "cpu_seconds")
    groups = {name: clips for name, clips in scopes(report.clips).items() if name != ALL}
    everything = [clip.name for clip in report.clips]
    lines = []
    for row in report.rows:
        if not any(other.kind == WITHOUT and other.of == row.of for other in report.rows):
            continue
        name = f"**{row.name}**" if row.kind == MODEL else f"without {row.without}"
        line = [name, *_changes(report, row.name, row.of, everything, shown)]
        for clips in groups.values():
            line += _changes(report, row.name, row.of, clips, ("mad",))
        lines.append((row.of, row.kind != MODEL, line))
    # Each model's rows together, the whole one first.
    order = {row.name: place for place, row in enumerate(report.rows)}
    lines.sort(key=lambda entry: (order.get(entry[0], 0), entry[1]))
    heads = ["", *(HEADS.get(column, column) for column in shown), *(f"mad {name}" for name in groups)]
    return "### What each stage is worth\n\n" + _table(heads, [line for _, _, line in lines]) if lines else ""


def _changes(report: Report, row: str, whole: str, clips: list[str], columns: Sequence[str]) -> list[str]:
    ours, theirs = report.figures(row, clips), report.figures(whole, clips)
    cells = _cells(ours, columns)
    if ours is None or theirs is None or row == whole:
        return cells
    return [
        cell if (value := ours[column]) is None or (other := theirs[column]) is None
        else f"{cell} ({value - other:+.{DIGITS.get(column, 1)}f})"
        for cell, column in zip(cells, columns, strict=True)
    ]  # fmt: skip


def _delivered(report: Report) -> str:
    lines = []
    for row in report.rows:
        for format_name in ("webm", "mov") if row.kind == MODEL else ():
            if losses := report.losses(row.name, format_name):
                verdict = "yes" if max(losses) <= WORST_LOSS else "**no**"
                mean, worst = sum(losses) / len(losses), max(losses)
                lines.append([row.name, format_name, str(len(losses)), f"{mean:+.2f}", f"{worst:+.2f}", verdict])
    if not lines:
        return ""
    heads = ["", "format", "sequences", "mad above the matte's, mean", "worst sequence", f"≤ {WORST_LOSS:g}"]
    return "### Delivered files\n\n" + _table(heads, lines)


def _shares(report: Report) -> str:
    lines = []
    for row in report.rows:
        share = report.share(row.name) if row.kind == MODEL else None
        if share is not None:
            lines.append([row.name, *(f"{100 * value:.0f} %" for value in share)])
    if not lines:
        return ""
    title = f"### Matte stage: CPU seconds as a share of bare U²-Net int8's ({report.threads} threads)"
    return title + "\n\n" + _table(["", "median of the sequences", "least", "greatest"], lines)


TABLES: tuple[Callable[[Report], str], ...] = (_facts, _scopes, _ablations, _delivered, _shares)


def _cells(figures: dict[str, float | None] | dict[str, float] | None, columns: Iterable[str]) -> list[str]:
    values = dict(figures or {})
    return [_cell(values.get(column), column) for column in columns]


def _cell(value: float | None, column: str) -> str:
    if value is None:
        return NONE
    return f"{100 * value:.0f} %" if column == "inferred" else f"{value:.{DIGITS.get(column, 1)}f}"


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))
