"""Telling people that their credits run low: once each time a balance falls below what its owner said."""

from __future__ import annotations

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone

from apps.credits.amounts import to_credits
from apps.credits.models import LowBalance, Wallet
from apps.webhooks import services as webhooks

log = logging.getLogger(__name__)

EVENT = "credits.low"
MAIL_CLAIM = timedelta(minutes=5)
"""How long one sender has a mail to itself; well over EMAIL_TIMEOUT."""
MAIL_ATTEMPTS = 10
MAILS_AT_ONCE = 20
"""In one round of the reconciler, which has other things to do."""


def note(wallet: Wallet, *, before: int) -> None:
    """Write down, in the movement's own transaction, that it took the balance below the threshold.

    Only the movement that crosses is noted: the next ones begin below, and
    what buys the balance up again makes room for another crossing.
    """
    if not before >= wallet.low_threshold > wallet.balance:
        return
    now = timezone.now()
    low = LowBalance.objects.create(
        wallet=wallet, balance=wallet.balance, threshold=wallet.low_threshold, mail_due_at=now
    )
    body = {
        "balance": to_credits(wallet.balance),
        "held": to_credits(wallet.held),
        "available": to_credits(wallet.available),
        "threshold": to_credits(wallet.low_threshold),
        "buy_url": f"{settings.SITE_URL}/credits",
    }
    webhooks.emit(wallet.user, EVENT, url="", body=body, subject=low.pk)


def send_due() -> int:
    """Mail what waits to be mailed; how many went out. Safe to run twice and beside itself."""
    waiting = LowBalance.objects.filter(mail_due_at__lte=timezone.now()).order_by("mail_due_at")
    return sum(_send(low) for low in waiting.select_related("wallet__user")[:MAILS_AT_ONCE])


def _send(low: LowBalance) -> bool:
    now = timezone.now()
    mine = LowBalance.objects.filter(pk=low.pk, mail_due_at=low.mail_due_at)
    if not mine.update(mail_due_at=now + MAIL_CLAIM, mail_attempts=F("mail_attempts") + 1):
        return False
    done = LowBalance.objects.filter(pk=low.pk, mail_due_at=now + MAIL_CLAIM)
    context = {"low": low, "site_url": settings.SITE_URL}
    subject = f"{to_credits(low.balance)} credits left at Clearmatte"
    try:
        text = render_to_string("credits/email/low.txt", context)
        send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [low.wallet.user.email])
    except (OSError, SMTPException) as error:
        log.warning("low=%s could not be mailed: %s", low.pk, type(error).__name__)
        if low.mail_attempts + 1 >= MAIL_ATTEMPTS:
            done.update(mail_due_at=None)
        return False
    done.update(mail_due_at=None)
    return True
