"""Mail to people: once for each occasion, as text and HTML, tried again, and only to those who want it."""

from __future__ import annotations

import re
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from uuid import UUID

import django_rq
import pytest
from django.core import mail as outbox
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from apps.accounts import mail, tasks
from apps.accounts.models import Mail, User

JOB = UUID(int=7)


def low(user: User, key: str = "once") -> Mail | None:
    return mail.low_credits(user, available="4.5", key=key)


def test_a_mail_goes_out_as_text_and_html_with_the_same_link(alice: User) -> None:
    written = low(alice)
    assert written

    tasks.send_mail(str(written.pk))

    (sent,) = outbox.outbox
    assert isinstance(sent, EmailMultiAlternatives)
    assert (sent.to, sent.subject) == (["alice@example.org"], "4.5 credits are left")
    (html,) = [part.content for part in sent.alternatives if part.mimetype == "text/html"]
    assert "http://testserver/credits\n" in sent.body
    assert 'href="http://testserver/credits"' in html
    assert "{" not in sent.body
    written.refresh_from_db()
    assert (written.sent_at is not None, written.next_attempt_at) == (True, None)
    assert mail.send(written.pk) is False


def test_the_same_occasion_is_one_mail(alice: User) -> None:
    assert low(alice) is not None

    assert low(alice) is None
    assert low(alice, "another") is not None


def test_markup_in_a_name_stays_text(alice: User) -> None:
    alice.mails_finished_jobs = True
    written = mail.job_finished(alice, job_id=JOB, name="<b>&.mp4", is_completed=True, error="")
    assert written

    sent = mail.message(written)

    assert sent.subject == "<b>&.mp4 is cut out"
    assert "The cutout of <b>&.mp4 is ready" in str(sent.body)
    assert "<h1>&lt;b&gt;&amp;.mp4 is cut out</h1>" in str(sent.alternatives[0][0])


def test_a_name_with_a_line_break_cannot_add_a_header(alice: User) -> None:
    alice.mails_finished_jobs = True
    written = mail.job_finished(alice, job_id=JOB, name="a\r\nBcc: x@example.org", is_completed=False, error="Why.")
    assert written

    assert "\nBcc" not in mail.message(written).message().as_string().partition("\n\n")[0].replace("\r", "")


def test_nobody_is_mailed_what_they_do_not_want(alice: User) -> None:
    assert mail.job_finished(alice, job_id=JOB, name="a.mp4", is_completed=True, error="") is None
    alice.mails_low_credits = False
    assert low(alice) is None
    assert Mail.objects.count() == 0


def test_a_server_that_refuses_is_asked_again_and_at_last_given_up(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SMTPServerDisconnected("no")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)
    written = low(alice)
    assert written
    waits = []

    while written.next_attempt_at is not None:
        Mail.objects.update(next_attempt_at=timezone.now())
        assert mail.send(written.pk) is True
        written.refresh_from_db()
        if written.next_attempt_at:
            waits.append(round((written.next_attempt_at - timezone.now()).total_seconds() / 60))
            assert mail.send(written.pk) is False, "not before its time"

    assert waits == [1, 10, 60, 360, 1440]
    assert (written.attempts, written.sent_at) == (6, None)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_mail_stands_when_the_queue_is_down(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(django_rq.settings.QUEUES["default"], "URL", "redis://127.0.0.1:1/0")

    written = low(alice)

    assert written
    assert mail.ring_for_due() == 0, "nobody to ring"
    assert mail.send(written.pk) is True


def test_old_mails_are_swept_and_those_on_their_way_are_not(alice: User) -> None:
    sent, waiting = low(alice, "sent"), low(alice, "waiting")
    assert sent
    assert waiting
    mail.send(sent.pk)
    Mail.objects.update(created_at=timezone.now() - timedelta(days=31))

    mail.sweep()

    assert list(Mail.objects.all()) == [waiting]


@pytest.mark.parametrize("is_completed", [True, False])
def test_every_link_in_a_mail_leads_to_the_site(alice: User, is_completed: bool) -> None:
    alice.mails_finished_jobs = True
    written = [
        mail.job_finished(alice, job_id=JOB, name="a.mp4", is_completed=is_completed, error="Why."),
        low(alice),
        mail.webhook_disabled(alice, endpoint_id=JOB, url="https://example.org/h", because="it is gone", key="w"),
        mail.second_factor_removed(alice, key="f"),
    ]

    for row in written:
        assert row
        links = re.findall(r'href="([^"]+)"', str(mail.message(row).alternatives[0][0]))
        assert links
        assert [link for link in links if not link.startswith("http://testserver/")] == []
