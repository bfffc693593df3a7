"""How the books stand, for the admin's first page."""

from __future__ import annotations

from django import template

from apps.credits.models import AuditRun

register = template.Library()


@register.simple_tag
def last_audit() -> AuditRun | None:
    return AuditRun.objects.first()
