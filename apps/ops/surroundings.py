"""The doctor's look at what the site leans on: storage, clocks, TLS, mail, Stripe, other hosts."""

from __future__ import annotations

import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import django_rq
import redis
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.mail import get_connection
from django.db import DatabaseError, connection

from apps.credits.models import StripeEvent
from apps.credits.stripe import try_key
from apps.ops import checks, hosts
from apps.ops.findings import Finding, bad, note, ok
from apps.projects.models import media_storage

CLOCK_SECONDS = 5.0
"""Further apart, leases and signed addresses begin to end at the wrong time."""
CERTIFICATE_DAYS = 14
CONNECT_SECONDS = 5
LEAST_SECRET = 50
"""Characters: what `check --deploy` asks for too, so that the two do not contradict each other."""
NOWHERE = ("console", "dummy", "locmem", "filebased")
"""Ways of sending mail that reach nobody."""


def examine() -> Iterator[Finding]:
    yield storage()
    yield clock()
    yield secrets()
    yield tls()
    yield mail()
    yield stripe()
    yield several_hosts()


def storage() -> Finding:
    """A file written, read and deleted, as a job does."""
    where = f"bucket {settings.S3_BUCKET}" if settings.S3_BUCKET else str(Path(settings.DATA_DIR) / "media")
    found = checks.storage()
    if not found.ok:
        what = "Free some" if found.detail == checks.FULL else "Check the S3_ settings or the folder's owner"
        return bad("storage", f"{found.detail} ({where}). {what}.")
    media, name, content = media_storage(), f"doctor-{uuid.uuid4()}", b"written by the doctor"
    step = "written"
    try:
        name = media.save(name, ContentFile(content))
        step = "read"
        with media.open(name) as file:
            is_same = file.read() == content
        step = "deleted"
        media.delete(name)
    except Exception as error:  # whatever the store's client library raises
        check = "Check the key's rights, and that the bucket is there (manage.py create_bucket)."
        check = check if settings.S3_BUCKET else "Check who owns the folder."
        return bad("storage", f"a file cannot be {step} in {where} ({type(error).__name__}). {check}")
    if not is_same:
        return bad("storage", f"what was read from {where} is not what was written: do not trust this store.")
    return ok("storage", f"{where}: a file was written, read and deleted")


def clock() -> Finding:
    """This machine's against those of the servers that it must agree with."""
    off = {name: seconds for name, seconds in _other_clocks() if abs(seconds) > CLOCK_SECONDS}
    if off:
        words = ", ".join(f"{seconds:+.0f} s from the {name}'s" for name, seconds in off.items())
        return bad("clock", f"this machine's is {words}: run a time service (chrony, systemd-timesyncd) on both.")
    return ok("clock", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, and no server it can ask disagrees")


def _other_clocks() -> Iterator[tuple[str, float]]:
    if connection.vendor == "postgresql":
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            yield "database", time.time() - float(cursor.fetchone()[0])
    if settings.REDIS_URL_GIVEN:
        with suppress(redis.RedisError, OSError):
            seconds, microseconds = django_rq.get_connection("default").time()
            yield "queue server", time.time() - seconds - microseconds / 1e6


def secrets() -> Finding:
    path = Path(settings.DATA_DIR) / "secret_key"
    if path.exists() and path.stat().st_mode & 0o077:
        return bad("secrets", f"others on this machine can read {path}: chmod 600 {path}")
    if len(settings.SECRET_KEY) < LEAST_SECRET:
        short = f"SECRET_KEY is shorter than {LEAST_SECRET} characters"
        return bad("secrets", f"{short}: make one with `openssl rand -base64 48`.")
    return ok("secrets", "SECRET_KEY is long enough, and its file is its owner's alone")


def tls() -> Finding:
    address = urlsplit(settings.SITE_URL)
    if settings.SANDBOX:
        return note("tls", "none in the sandbox")
    if not settings.IS_HTTPS:
        return bad("tls", f"SITE_URL is {settings.SITE_URL}: sign-in needs https. Put a proxy that ends TLS in front.")
    if not settings.TRUST_PROXY:
        return bad(
            "tls", "TRUST_PROXY=1 is missing: this server speaks no TLS, so every page would redirect to itself."
        )
    try:
        days = certificate_days(str(address.hostname), address.port or 443)
    except (OSError, ValueError) as error:
        return note("tls", f"{address.netloc} cannot be reached from here to look at its certificate ({error}).")
    if days < CERTIFICATE_DAYS:
        return bad("tls", f"the certificate of {address.netloc} ends in {days} days: see why it is not renewed.")
    return ok("tls", f"the certificate of {address.netloc} is good for {days} days")


def certificate_days(host: str, port: int) -> int:
    with (
        socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        ends = ssl.cert_time_to_seconds(str((wrapped.getpeercert() or {})["notAfter"]))
    return int((ends - time.time()) // 86400)


def mail() -> Finding:
    """The server is greeted and signed in to; nothing is sent."""
    backend = settings.EMAIL_BACKEND.rpartition(".")[0].rpartition(".")[2]
    if backend in NOWHERE:
        text = f"mail reaches nobody ({backend})"
        return note("mail", text) if settings.SANDBOX else bad("mail", f"{text}: nobody can sign up. Set EMAIL_URL.")
    try:
        server = get_connection()
        server.open()
        server.close()
    except OSError as error:  # SMTP errors are among them
        where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        return bad("mail", f"{where} does not take us ({type(error).__name__}). Check EMAIL_URL and its password.")
    return ok("mail", f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} takes us, as {settings.DEFAULT_FROM_EMAIL}")


def stripe() -> Finding:
    if settings.STRIPE_IS_FAKE:
        return note("stripe", "pretended: no money moves in the sandbox")
    if not settings.STRIPE_SECRET_KEY:
        return note("stripe", "no STRIPE_SECRET_KEY: credits cannot be bought, only granted")
    if not settings.STRIPE_SECRET_KEY.startswith(("sk_", "rk_")):
        return bad("stripe", "STRIPE_SECRET_KEY must begin with sk_ or rk_: a publishable key (pk_) can do nothing.")
    wrong = [secret for secret in settings.STRIPE_WEBHOOK_SECRETS if not secret.startswith("whsec_")]
    if not settings.STRIPE_WEBHOOK_SECRETS or wrong:
        where = f"{settings.SITE_URL}/stripe/webhook"
        return bad("stripe", f"STRIPE_WEBHOOK_SECRETS needs the whsec_… of the webhook to {where}.")
    is_taken, trouble = try_key()
    if trouble:
        return note("stripe", f"{trouble}.") if is_taken else bad("stripe", f"{trouble}.")
    is_test = "_test_" in settings.STRIPE_SECRET_KEY
    try:
        stuck = StripeEvent.objects.filter(processed_at=None).count()
    except DatabaseError:
        return note("stripe", "a key and a webhook secret are there; the events cannot be counted")
    if stuck:
        return note("stripe", f"{stuck} events could not be worked on: look at them in the admin, Stripe events")
    taken = "that Stripe takes, and a webhook secret"
    return note("stripe", f"a test key {taken}: no money moves") if is_test else ok("stripe", f"a live key {taken}")


def several_hosts() -> Finding:
    """Declared, or seen: workers that sign in from elsewhere."""
    if why := hosts.refusal():
        return bad("hosts", why)
    try:
        seen = {str(worker.hostname) for worker in checks.living_workers()}
    except (redis.RedisError, OSError):
        seen = set()
    if len(seen) > 1 and (alone := hosts.not_shared()):
        return bad("hosts", f"workers run on {', '.join(sorted(seen))}, but {' and '.join(alone)}.")
    return ok("hosts", f"{'several, with stores that they share' if settings.SEVERAL_HOSTS else 'one'}")
