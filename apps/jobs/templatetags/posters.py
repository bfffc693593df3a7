"""A job's small picture in a list."""

from __future__ import annotations

from typing import Any

from django import template

from apps.jobs import posters

register = template.Library()


@register.inclusion_tag("components/_poster.html")
def poster(job: Any) -> dict[str, posters.Poster | None]:
    """Or the empty place of one: whatever becomes of the picture, nothing beside it moves."""
    return {"poster": posters.of_job(job)}
