"""The admin behind the site's own sign-in and a second factor, with one box that finds everything."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from apps.accounts.models import Act
from apps.accounts.records import Hits, RecordAdmin
from apps.accounts.sought import read

SHOWN_ACTS = 10


class GuardedAdminSite(AdminSite):
    """Staff get in with a second factor only. In the sandbox the plain admin's own sign-in is enough."""

    site_header = "Clearmatte support"
    site_title = "Clearmatte"
    index_title = "Find it, understand it, fix it"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """All but allauth's own classes: apps.accounts.admin shows the same records without their secrets."""
        if admin_class is None or not admin_class.__module__.startswith("allauth."):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not lacks_second_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign-in is left to allauth, which asks for the second factor and slows down guessing."""
        if settings.SANDBOX:
            return super().login(request, extra_context)
        if super().has_permission(request) and lacks_second_factor(request):
            messages.warning(request, "The admin needs two-factor sign-in. Set it up here, then open the admin again.")
            return redirect("mfa_activate_totp")
        response: HttpResponse = secure_admin_login(super().login)(request, extra_context)
        return response

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [path("find/", self.admin_view(self.find), name="find"), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        acts = Act.objects.all()[:SHOWN_ACTS] if request.user.has_perm("accounts.view_act") else ()
        return super().index(request, {**(extra_context or {}), "acts": acts})

    def find(self, request: HttpRequest) -> HttpResponse:
        """What the text may mean, a few of each kind; straight to it where it can mean one thing only."""
        text = request.GET.get("q", "")
        groups = self._found(request, text)
        hits = [hit for group in groups for hit in group.hits]
        itself = [hit for hit in hits if hit.is_itself]
        for certain in (itself, hits):
            if len(certain) == 1:
                return redirect(certain[0].url)
        context = {**self.each_context(request), "title": "Found", "sought": text, "groups": groups}
        return TemplateResponse(request, "admin/find.html", context)

    def _found(self, request: HttpRequest, text: str) -> list[Hits]:
        sought = read(text)
        if not sought.text:
            return []
        kinds = [kind for kind in self._registry.values() if isinstance(kind, RecordAdmin)]
        found = (kind.hits(request, sought) for kind in sorted(kinds, key=lambda kind: kind.rank))
        return [hits for hits in found if hits]


def lacks_second_factor(request: HttpRequest) -> bool:
    """A session that began without the code can only be its owner's own, from before the factor was set up."""
    return not settings.SANDBOX and not is_mfa_enabled(request.user)
