"""The door for files from a page: who and how much is asked before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from apps.errors import AppError

View = Callable[..., HttpResponse]


def takes_files(view: View) -> View:
    """For a view whose POST may carry a file.

    The usual CSRF check parses the whole body first, so that strangers and
    oversized files would fill the disk before they are refused. Here it comes
    third: signed in, not too large, then CSRF.
    """
    guarded = login_required(csrf_protect(view))

    @wraps(view)
    def door(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if length > settings.MAX_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            limit = f"At most {settings.MAX_UPLOAD_BYTES // 1_000_000} MB a file. Shorten or compress the clip first."
            problem = AppError("file_too_large", limit)
            return render(request, "components/_problem.html", {"problem": problem}, status=problem.status)
        return guarded(request, *args, **kwargs)

    return csrf_exempt(door)
