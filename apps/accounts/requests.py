"""The type of a request behind `login_required`: its user is a User."""

from __future__ import annotations

from django.http import HttpRequest

from apps.accounts.models import User


class SignedInRequest(HttpRequest):
    """For annotations only; nothing ever makes one."""

    user: User
