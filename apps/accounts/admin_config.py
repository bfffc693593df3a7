"""Puts our admin site in the place of Django's. Its own module, because apps are configured before models can load."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class GuardedAdminConfig(AdminConfig):
    default_site = "apps.accounts.admin_site.GuardedAdminSite"
