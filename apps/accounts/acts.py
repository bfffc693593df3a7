"""What staff do by hand: each act needs a reason, is done once, and leaves a line of who, why and what it changed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from apps.accounts.models import Act, User
from apps.errors import AppError

log = logging.getLogger(__name__)

DONE_ALREADY = "That was done by your first click."


@dataclass(frozen=True, slots=True)
class Wish:
    """What a member of staff wants done. `number` was made with the page, so a second click brings the same one."""

    number: UUID
    staff: User
    reason: str
    given: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Field:
    """Something to type beside the reason."""

    name: str
    label: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that staff can do to a record."""

    name: str
    label: str
    permission: str
    do: Callable[[Any, Wish], str]
    """Calls the services; what it answers is told to the one who pressed."""
    look: Callable[[Any], dict[str, Any]]
    """What the act may change, read anew."""
    refusal: Callable[[Any], str] = lambda record: ""
    """Why it cannot be done to this record now; empty where it can."""
    fields: tuple[Field, ...] = ()
    hint: str = ""
    leaves_database: bool = False
    """It deletes files, so it cannot be undone with a transaction: the line is written before it begins."""


def press(button: Button, record: Model, wish: Wish, *, account: UUID | None) -> str:
    """Do it and write it down; a refusal (AppError) changes nothing and leaves no line."""
    if Act.objects.filter(pk=wish.number).exists():
        return DONE_ALREADY
    if not wish.reason.strip():
        raise AppError("invalid_request", "Say why: nothing is done without a reason.", param="reason")
    if why_not := button.refusal(record):
        raise AppError("conflict", why_not)
    line = Act(
        id=wish.number,
        action=button.name,
        what=record._meta.label_lower,
        subject=str(record.pk),
        account=account,
        staff=wish.staff,
        staff_name=wish.staff.email,
        reason=wish.reason.strip()[:500],
        before=button.look(record),
    )
    with contextlib.nullcontext() if button.leaves_database else transaction.atomic():
        # Of two clicks at the same time the second waits here for the first, and then finds its line.
        try:
            with transaction.atomic():
                line.save(force_insert=True)
        except IntegrityError:
            return DONE_ALREADY
        try:
            said = button.do(record, wish)
        except AppError:
            line.delete()
            raise
        line.after = button.look(record)
        line.save(update_fields=["after"])
    log.info("act=%s of %s=%s by staff", line.action, line.what, line.subject)
    return said


def of(*subjects: object) -> QuerySet[Act]:
    """What was done to these records."""
    return Act.objects.filter(subject__in=[str(subject) for subject in subjects])
