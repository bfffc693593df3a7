"""A job's story as the admin shows it: facts in words, numbers in credits, the film over a checkerboard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.accounts.records import link
from apps.credits.amounts import to_credits
from apps.engine.formats import FORMATS
from apps.engine.report import in_short
from apps.jobs.models import Job, Output
from apps.jobs.player import playing
from apps.jobs.representation import output_url
from apps.jobs.story import Story
from apps.projects.services import asset_url
from apps.projects.templatetags.clips import here

Rows = list[tuple[str, object]]
"""Name and value; those without a value are left out."""

PICTURES = ("gif", "webp")
"""Results that a browser shows as a picture."""


def context(story: Story) -> dict[str, Any]:
    job = story.job
    return {
        "job": job,
        "request_rows": told(_request(story)),
        "asked": told(list(job.requested.items())),
        "understood": told(flat({"model": job.model, "output_format": job.output_format, **job.options})),
        "source_rows": told(_source(job)),
        "credit_rows": told(_credits(story)),
        "work_rows": told(_work(job)),
        "quality": quality(job),
        "quality_in_short": in_short(job.quality) if job.quality else "",
        "outputs": [_output(job, output) for output in story.outputs],
        "looks": looks(job, story.outputs),
        "source_url": here(asset_url(job.asset)) if job.asset else "",
        "charged": to_credits(job.charged),
    }


def told(rows: Rows) -> Rows:
    return [(name.replace("_", " "), _said(value)) for name, value in rows if value not in (None, "", [], {})]


def _said(value: object) -> object:
    """As the caller would write it, not as Python does; times as everywhere on the page."""
    if isinstance(value, bool | list | Mapping):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value


def flat(fields: Mapping[str, Any], prefix: str = "") -> Rows:
    """Nested options as one list: `composition.scale`."""
    rows: Rows = []
    for name, value in fields.items():
        rows += flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return rows


def _request(story: Story) -> Rows:
    job = story.job
    key = job.api_key
    return [
        ("account", link("accounts_user", job.owner_id, job.owner) if job.owner else "closed and anonymised"),
        ("project", link("projects_project", job.project_id, job.project) if job.project else "–"),
        ("project id", job.project_id),
        ("external id", job.project.external_id if job.project else None),
        ("project deleted", job.project.deleted_at if job.project else None),
        (
            "API key",
            link("accounts_apikey", key.pk, key) if key else "none: asked for in the browser, or the key is gone",
        ),
        ("request id", job.request_id),
        ("address", job.client_address),
        ("agent", job.client_agent),
        ("webhook", job.webhook_url),
        ("metadata", job.metadata),
        ("retry of", link("jobs_job", job.retried_from_id, job.retried_from_id) if job.retried_from_id else None),
    ]


def _source(job: Job) -> Rows:
    asset, picture = job.asset, job.background_asset
    rows: Rows = [("address as given", job.video_url)]
    if asset:
        rows += [
            ("file", link("projects_asset", asset.pk, asset.filename or asset.pk)),
            ("state", asset.status),
            ("sha256", asset.sha256),
            ("size", f"{asset.size:,} bytes"),
            *asset.facts.items(),
            ("error", asset.error),
            ("kept until", asset.expires_at if asset.file else None),
        ]
    if picture:
        rows += [("background", link("projects_asset", picture.pk, picture.filename or picture.pk))]
        rows += [("background sha256", picture.sha256)]
    return rows


def _credits(story: Story) -> Rows:
    job = story.job
    version = job.pricing_version
    return [
        ("price list", link("credits_pricelist", version, f"version {version}") if version else None),
        ("priced for", f"{job.held_seconds:g} s" if job.held_seconds else None),
        ("estimated", f"{to_credits(job.estimated)}"),
        ("held", ", ".join(f"{to_credits(hold.amount)} ({hold.state})" for hold in story.holds)),
        ("charged", f"{to_credits(job.charged)}"),
        ("refunded", f"{to_credits(story.refunded)}" if story.refunded else None),
    ]


def _work(job: Job) -> Rows:
    result = job.result
    return [
        ("stage", job.stage),
        ("progress", f"{job.progress:.0f} % · {job.frames_done} of {job.frames_total} frames"),
        ("model version", job.model_version),
        *((f"network {row['network']}", _network(row)) for row in result.get("networks", ())),
        ("device", job.device),
        ("worker", job.worker),
        ("lease until", job.lease_until),
        ("work", f"{result['seconds']:.1f} s" if "seconds" in result else None),
        ("processor", f"{result['cpu_seconds']:.1f} s" if "cpu_seconds" in result else None),
        ("most memory", f"{result['peak_rss_bytes'] / 1e6:.0f} MB" if "peak_rss_bytes" in result else None),
        ("frames through the network", result.get("frames_inferred")),
        ("walls that were missing", ", ".join(result.get("not_contained", ()))),
        ("error code", job.error_code),
        ("error", job.error),
        ("warnings", "; ".join(f"{row['code']}: {row['message']}" for row in job.warnings)),
    ]


def _network(row: Mapping[str, str]) -> str:
    made = f"made from weights with SHA-256 {row['weights_sha256']}"
    return f"{row['precision']}, its file's SHA-256 {row['sha256']}, {made}"


def quality(job: Job) -> list[dict[str, Any]]:
    """Each measure with its score, and the moments to look at."""
    measures = (job.quality or {}).items()
    return [{"name": name.replace("_", " "), **row} for name, row in measures if isinstance(row, Mapping)]


def _output(job: Job, output: Output) -> dict[str, Any]:
    return {"row": output, "facts": told(list(output.facts.items())), "url": output_url(job, output)}


def looks(job: Job, outputs: list[Output]) -> dict[str, Any]:
    """How the result can be shown: played, or as a picture; nothing once its files are gone."""
    urls = {output.kind: _shape(job, output) for output in outputs if output.file}
    result = urls.get(Output.Kind.RESULT)
    if result is None:
        return {}
    if result["format"] in PICTURES:
        return {"picture": here(result["url"]), "is_cut": FORMATS[result["format"]].alpha}
    preview = urls.get(Output.Kind.PREVIEW)
    return {"film": playing(result, preview), "is_cut": True}


def _shape(job: Job, output: Output) -> dict[str, Any]:
    size = {"width": output.facts.get("width") or 0, "height": output.facts.get("height") or 0}
    return {"format": output.format, "url": output_url(job, output), **size}
