"""The end of an account, as far as it is about who you are: shut at once, and then forgotten."""

from __future__ import annotations

import logging

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.accounts.models import ApiKey, DataRequest, Mail, User
from apps.errors import AppError

log = logging.getLogger(__name__)

NO_ADDRESS = "deleted.invalid"
"""A domain that can never exist (RFC 2606)."""


def had_account(email: str) -> bool:
    """Whether an account with this address was deleted."""
    return deletions_of(email).exists()


def deletions_of(email: str) -> QuerySet[DataRequest]:
    """Of accounts that had this address; nobody learns the address from them who does not know it."""
    marks = [mark_of(email, secret=secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return DataRequest.objects.filter(mark__in=marks)


def mark_of(email: str, *, secret: str | bytes | None = None) -> str:
    """Keyed, so that nobody without the site's secret can try addresses against it."""
    return salted_hmac("accounts.closing", email.strip().lower(), secret=secret, algorithm="sha256").hexdigest()


def is_closed(user: User) -> bool:
    """Whether this account was deleted."""
    return user.email.endswith(f"@{NO_ADDRESS}")


def close(user: User) -> DataRequest:
    """Let nobody in any more, neither person nor program, and forget the name and the address. Idempotent.

    After it the address is free for a new account.
    """
    if user.is_staff or user.is_superuser:
        message = "An account with rights in the admin is not deleted here: another admin takes them away first."
        raise AppError("conflict", message)
    email = user.email
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        asked, is_new = DataRequest.objects.get_or_create(
            user=locked, kind=DataRequest.Kind.DELETION, defaults={"mark": mark_of(locked.email)}
        )
        if not is_new:
            return asked
        locked.email, locked.name = f"{locked.pk}@{NO_ADDRESS}", ""
        locked.is_active = locked.mails_finished_jobs = locked.mails_low_credits = False
        # Every session names the password it began with, so this ends those that nobody listed, too.
        locked.set_unusable_password()
        locked.save()
        ApiKey.objects.filter(user=locked, disabled_at=None).update(disabled_at=timezone.now())
        EmailAddress.objects.filter(user=locked).delete()
        transaction.on_commit(lambda: _say_goodbye(email), robust=True)
    for session in UserSession.objects.filter(user=user):
        session.end()
    log.info("account=%s closed by its owner", user.pk)
    return asked


def forget(user: User) -> None:
    """Delete what says who they were and what could let them in. Safe to run twice."""
    for session in UserSession.objects.filter(user=user):
        session.end()
    for model in (Authenticator, EmailAddress, ApiKey, Mail):
        model.objects.filter(user=user).delete()
    about = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User), object_id=str(user.pk))
    about.update(object_repr="a deleted account")
    User.objects.filter(pk=user.pk).update(last_login=None)


def _say_goodbye(email: str) -> None:
    """To the address as it was; the account cannot be asked for it any more."""
    context = {"site_url": settings.SITE_URL}
    subject = " ".join(render_to_string("mail/account_deleted_subject.txt", context).split())
    letter = EmailMultiAlternatives(subject, render_to_string("mail/account_deleted.txt", context), to=[email])
    letter.attach_alternative(render_to_string("mail/account_deleted.html", context), "text/html")
    try:
        letter.send()
    except OSError as error:
        log.warning("the mail about a deleted account could not be sent: %s", type(error).__name__)
