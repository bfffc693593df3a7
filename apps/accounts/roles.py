"""What kinds of staff there are: groups, whose permissions follow the table here after each `migrate`."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q

APPS = ("accounts", "account", "mfa", "usersessions", "projects", "credits", "webhooks", "jobs")
"""Whose records staff see; the second to fourth are allauth's."""

ROLES: dict[str, tuple[str, ...]] = {
    "support": (
        "requeue_job", "cancel_job", "extend_job", "replay_delivery", "disable_apikey", "disable_endpoint",
        "change_emailaddress",
    ),
    "finance": ("refund_job", "grant_wallet", "add_pricelist", "change_pricelist"),
    "admin": ("*",),
}  # fmt: skip
"""Beside seeing everything, which all of them do. Giving rights to others is a superuser's."""


def follow(sender: AppConfig, **how: Any) -> None:
    """After `migrate`: give the roles what one app's records need. Adds only; what an operator added stays."""
    if sender.label not in APPS:
        return
    # Its own receiver may come after this one.
    create_permissions(sender, verbosity=0, using=how["using"])
    own = Permission.objects.using(how["using"]).filter(content_type__app_label=sender.label)
    for role, allowed in ROLES.items():
        group, _ = Group.objects.using(how["using"]).get_or_create(name=role)
        is_for_it = Q(codename__startswith="view_") | Q(codename__in=allowed)
        group.permissions.add(*(own if "*" in allowed else own.filter(is_for_it)))
