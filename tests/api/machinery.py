"""Tiny views on the API's machinery, so that it can be tested without a house around it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from django.db import OperationalError
from django.urls import include, path, re_path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.accounts.permissions import requires
from apps.api.errors import unknown_address
from apps.api.idempotency import idempotent, idempotent_upload
from apps.api.pagination import PageQuery
from apps.api.parsers import UploadParser
from apps.api.views import ApiViewSet
from apps.engine.errors import LimitExceeded, OutOfMemory
from apps.errors import AppError
from apps.projects.models import Project

calls: list[Any] = []
gate = threading.Event()
started = threading.Event()


class Echo(ApiViewSet):
    permission_classes = (requires("jobs:write"),)
    queries = {"list": PageQuery}  # noqa: RUF012

    def list(self, request: Request) -> Response:
        return self.page(User.objects.order_by("email"), lambda rows: [row.email for row in rows])

    @idempotent
    def create(self, request: Request) -> Response:
        """Makes a project of the name given, and then does what the name says."""
        calls.append(request.data)
        name = request.data.get("name", "")
        project = Project.objects.create(owner=request.user, name=name)
        if name == "slow":
            started.set()
            assert gate.wait(20)
        if name in HABITS:
            HABITS[name]()
        if name in FAULTS:
            raise FAULTS[name]
        return Response({"id": str(project.pk)}, status=201)


HABITS: dict[str, Callable[[], None]] = {"killed": lambda: os.kill(os.getpid(), signal.SIGKILL)}
FAULTS: dict[str, Exception] = {
    "refused": AppError("conflict", "Not now.", param="name"),
    "poor": AppError("insufficient_credits", "Too little.", details={"needed": 7.5, "available": 0}),
    "limited": LimitExceeded("Too long.", param="file"),
    "broken": RuntimeError("secret detail"),
    "memory": OutOfMemory("secret detail"),
    "locked": OperationalError("database is locked"),
    "throttled": AppError("rate_limited", "Later."),
    "model": AppError("model_not_installed", "Not here."),
}


class Files(ApiViewSet):
    permission_classes = (requires("uploads"),)
    parser_classes = (UploadParser,)

    @idempotent_upload
    def create(self, request: Request) -> Response:
        file = request.FILES["file"]
        calls.append((file.name, file.size, file.temporary_file_path()))
        return Response({"size": file.size, "read": len(file.read())}, status=201)


urlpatterns = [
    path("v1/echo", Echo.as_view({"get": "list", "post": "create"})),
    path("v1/files", Files.as_view({"post": "create"})),
    re_path(r"^(?:v1|api)(?:/.*)?$", unknown_address),
    # Addresses that the site's own middleware looks up.
    path("accounts/", include("allauth.urls")),
]
