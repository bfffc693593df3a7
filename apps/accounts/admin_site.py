"""The admin behind the site's own sign-in and a second factor."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class GuardedAdminSite(AdminSite):
    """Staff get in with a second factor only. In the sandbox the plain admin's own sign-in is enough."""

    site_header = "Clearmatte support"
    site_title = "Clearmatte"
    index_title = "Records"

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


def lacks_second_factor(request: HttpRequest) -> bool:
    """A session that began without the code can only be its owner's own, from before the factor was set up."""
    return not settings.SANDBOX and not is_mfa_enabled(request.user)
