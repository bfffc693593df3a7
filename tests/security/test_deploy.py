"""The settings of a real site, in a process of its own, because they are read once from the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User

ROOT = Path(__file__).resolve().parents[2]
LOOK = """
import io, json, sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
said = io.StringIO()
call_command("check", deploy=True, fail_level="WARNING", stdout=said, stderr=said)
names = sys.argv[1].split(",")
secure = Client(headers={"host": "cutout.example.org"}).get("/health/live", secure=True)
plain = Client(headers={"host": "cutout.example.org"}).get("/v1/jobs?a=b")
strange = Client(headers={"host": "evil.example"}).get("/v1/jobs", secure=True)
print(json.dumps({
    "check": said.getvalue(),
    "settings": {name: getattr(settings, name) for name in names},
    "hsts": secure.headers.get("Strict-Transport-Security"),
    "plain": [plain.status_code, plain.headers.get("Location")],
    "strange": strange.status_code,
}))
"""
COOKIES = {
    "SESSION_COOKIE_NAME": "__Host-sessionid",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_PATH": "/",
    "SESSION_COOKIE_DOMAIN": None,
    "CSRF_COOKIE_NAME": "__Host-csrftoken",
    "CSRF_COOKIE_SECURE": True,
    "CSRF_COOKIE_HTTPONLY": True,
    "CSRF_COOKIE_SAMESITE": "Lax",
    "CSRF_COOKIE_PATH": "/",
    "CSRF_COOKIE_DOMAIN": None,
}
OTHERS = {
    "DEBUG": False,
    "ALLOWED_HOSTS": ["cutout.example.org", "127.0.0.1", "localhost", "::1"],
    "CSRF_TRUSTED_ORIGINS": ["https://cutout.example.org"],
    "ACCOUNT_EMAIL_VERIFICATION": "mandatory",
    # No third cookie.
    "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
}


def python(data_dir: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {
        **kept, "DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(data_dir), "SANDBOX": "0",
        "SITE_URL": "https://cutout.example.org", **more,
    }  # fmt: skip
    (data_dir / "static").mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names = ",".join([*COOKIES, *OTHERS])
    done = python(tmp_path_factory.mktemp("site"), "-c", LOOK, names)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_djangos_own_check_for_deployment_has_nothing_to_say(site: dict[str, Any]) -> None:
    assert site["check"].strip() == "System check identified no issues (0 silenced)."


def test_cookies_are_this_hosts_own_and_travel_by_tls_only(site: dict[str, Any]) -> None:
    assert {name: site["settings"][name] for name in COOKIES} == COOKIES


def test_the_rest_is_as_a_real_site_needs_it(site: dict[str, Any]) -> None:
    assert {name: site["settings"][name] for name in OTHERS} == OTHERS


def test_browsers_are_told_to_come_by_tls_for_a_year(site: dict[str, Any]) -> None:
    assert site["hsts"] == "max-age=31536000; includeSubDomains; preload"
    assert site["plain"] == [301, "https://cutout.example.org/v1/jobs?a=b"]


def test_another_host_is_refused(site: dict[str, Any]) -> None:
    assert site["strange"] == 400


def test_the_sandbox_serves_this_machine_only(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import django; django.setup()", SANDBOX="1", HOST="0.0.0.0")

    assert done.returncode == 1
    assert "runs on loopback only" in done.stderr


def test_the_secret_of_an_installation_is_its_own_and_its_owners_only(tmp_path: Path) -> None:
    show = "import django; django.setup(); from django.conf import settings; print(settings.SECRET_KEY)"

    one, again, other = (python(tmp_path / name, "-c", show).stdout.strip() for name in ("a", "a", "b"))

    assert one == again != other
    assert len(one) >= 50
    assert (tmp_path / "a" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_session_outlives_the_key_that_signed_it_while_that_is_a_fallback(alice: User, settings: Any) -> None:
    browser = Client()
    browser.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new one" * 9

    settings.SECRET_KEY_FALLBACKS = [old]
    kept = browser.get("/jobs").status_code
    settings.SECRET_KEY = "another new one" * 9
    settings.SECRET_KEY_FALLBACKS = []

    assert (kept, browser.get("/jobs").status_code) == (200, 302)


def test_fallbacks_come_from_the_environment(tmp_path: Path) -> None:
    show = "import django; django.setup(); from django.conf import settings; print(settings.SECRET_KEY_FALLBACKS)"

    assert python(tmp_path, "-c", show, SECRET_KEY_FALLBACKS="one,two").stdout.strip() == "['one', 'two']"


def test_secrets_come_from_files_where_the_environment_names_one(tmp_path: Path) -> None:
    """Without the line's end that editors and `echo` put there: no header may carry one."""
    (tmp_path / "key").write_text("from the file\n")
    show = "import django; django.setup(); from django.conf import settings; print([settings.SECRET_KEY])"

    done = python(tmp_path / "data", "-c", show, SECRET_KEY_FILE=str(tmp_path / "key"))

    assert done.stdout.strip() == "['from the file']"
