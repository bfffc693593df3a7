"""The cast (alice has credits, bob none, charlie is a stranger, sue is support) and what the machine offers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from django.conf import settings

from apps.accounts.models import User
from apps.credits import services as credits
from apps.engine.matting import weights

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"


def missing(what: str) -> NoReturn:
    """Skip aloud, or fail where everything was promised to be there."""
    if REQUIRE_ALL:
        pytest.fail(f"{what} is missing and REQUIRE_ALL=1")
    pytest.skip(f"{what} is missing")


def need_model(model: str) -> None:
    if not weights.model_status(Path(settings.MODELS_DIR), permissive=False)[model].installed:
        missing(f"the weights of model {model}")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a system Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return path or missing("Chromium")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of an FFmpeg that is not ours, to judge our files with."""
    return shutil.which("ffmpeg") or missing("an independent ffmpeg")


def make_user(email: str, **fields: object) -> User:
    return User.objects.create_user(email, "correct horse battery", **fields)


@pytest.fixture
def alice(db: None) -> User:
    """Has exactly 100 credits."""
    user = make_user("alice@example.org")
    credits.open_wallet(user, grant=False)
    credits.grant(user, 100_00, key=f"test:{user.pk}", note="for tests")
    return user


@pytest.fixture
def bob(db: None) -> User:
    """Has no credits."""
    user = make_user("bob@example.org")
    credits.open_wallet(user, grant=False)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger with 100 credits of his own."""
    user = make_user("charlie@example.org")
    credits.open_wallet(user, grant=False)
    credits.grant(user, 100_00, key=f"test:{user.pk}", note="for tests")
    return user


@pytest.fixture
def sue(db: None) -> User:
    """Support: may use the admin."""
    return make_user("sue@example.org", is_staff=True, is_superuser=True)
