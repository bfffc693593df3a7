"""A button of a record's page, pressed as the page does it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse


def page(record: Model) -> str:
    return reverse(f"admin:{record._meta.app_label}_{record._meta.model_name}_change", args=[quote(record.pk)])


def button(record: Model, name: str) -> str:
    kind = f"{record._meta.app_label}_{record._meta.model_name}"
    return reverse(f"admin:{kind}_do", args=[record.pk, name])


def press(
    client: Client, record: Model, name: str, *, reason: str = "asked for", number: object = None, **fields: str
) -> Any:
    """What the one who pressed reads then."""
    sent = {"reason": reason, "number": str(number or uuid.uuid4()), **fields}
    answer: HttpResponse = client.post(button(record, name), sent, follow=True)
    return answer
