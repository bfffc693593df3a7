"""Which kind of staff may press which button; everybody of the staff sees everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Act, User
from apps.accounts.records import RecordAdmin
from apps.accounts.roles import APPS
from apps.accounts.services import issue_key
from apps.webhooks import services as webhooks
from tests.admin.pressing import button, page, press
from tests.factories import make_job

MAY = {
    "jobs.requeue": {"support", "admin"},
    "jobs.cancel": {"support", "admin"},
    "jobs.extend": {"support", "admin"},
    "jobs.refund": {"finance", "admin"},
    "jobs.delete": {"admin"},
    "webhooks.replay": {"support", "admin"},
    "accounts.disable": {"support", "admin"},
    "accounts.rotate": {"support", "admin"},
    "webhooks.disable": {"support", "admin"},
    "credits.grant": {"finance", "admin"},
    "credits.adjust": {"finance", "admin"},
    "accounts.unlock": {"admin"},
    "accounts.disable_account": {"admin"},
    "account.verify": {"support", "admin"},
}


@pytest.fixture
def records(alice: User) -> dict[str, Any]:
    """What each button is pressed on, in a state where it applies."""
    done = make_job(alice, status="completed", expires_at=timezone.now() + timedelta(days=1))
    (delivery,) = webhooks.emit(alice, "job.completed", url="https://hooks.example.org/in", body={}, subject=done.pk)
    key, _ = issue_key(alice, name="laptop")
    endpoint, _ = webhooks.create_endpoint(alice, url="https://hooks.example.org/in")
    Authenticator.objects.create(user=alice, type="totp", data={})
    address = EmailAddress.objects.create(user=alice, email="other@example.org")
    return {
        "jobs.requeue": make_job(alice), "jobs.cancel": make_job(alice), "jobs.extend": done, "jobs.refund": done,
        "jobs.delete": done, "webhooks.replay": delivery, "accounts.disable": key, "accounts.rotate": key,
        "webhooks.disable": endpoint, "credits.grant": alice.wallet, "credits.adjust": alice.wallet,
        "accounts.unlock": alice, "accounts.disable_account": alice, "account.verify": address,
    }  # fmt: skip


@pytest.mark.parametrize("role", ["support", "finance", "admin"])
@pytest.mark.parametrize("name", MAY)
def test_a_button_is_pressed_by_its_roles_only(
    staff: Callable[[str], Client], records: dict[str, Any], name: str, role: str
) -> None:
    client, record, pressed = staff(role), records[name], name.split(".")[1]

    is_offered = button(record, pressed) in client.get(page(record)).text
    answer = press(client, record, pressed, days="1", credits="1")

    assert is_offered == (role in MAY[name])
    assert answer.status_code == (200 if role in MAY[name] else 403)
    lines = [(line.action, line.staff_name) for line in Act.objects.all()]
    assert lines == ([(pressed, f"{role}@example.org")] if role in MAY[name] else [])


def test_every_button_of_the_admin_is_in_the_table() -> None:
    kinds = [kind for kind in admin.site._registry.values() if isinstance(kind, RecordAdmin)]
    known = {f"{kind.opts.app_label}.{button.name}" for kind in kinds for button in kind.buttons}

    assert known - {"accounts.enable", "accounts.enable_account", "webhooks.enable"} == set(MAY)


@pytest.mark.parametrize("role", ["support", "finance", "admin"])
def test_every_role_sees_every_kind_of_record(
    staff: Callable[[str], Client], records: dict[str, Any], role: str
) -> None:
    client = staff(role)
    kinds = [model._meta for model in admin.site._registry if model._meta.app_label in APPS]

    assert len(kinds) > 12
    for kind in kinds:
        address = reverse(f"admin:{kind.app_label}_{kind.model_name}_changelist")
        assert client.get(address).status_code == 200, address


def test_price_lists_are_finances(staff: Callable[[str], Client]) -> None:
    add = reverse("admin:credits_pricelist_add")

    assert {role: staff(role).get(add).status_code for role in ("support", "finance", "admin")} == {
        "support": 403, "finance": 200, "admin": 200,
    }  # fmt: skip


def test_no_role_gives_rights(staff: Callable[[str], Client], alice: User) -> None:
    address = page(alice)

    for role in ("support", "finance", "admin"):
        staff(role).post(address, {"is_active": "on", "is_superuser": "on", "is_staff": "on", "groups": [1]})

    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser, alice.groups.count()) == (False, False, 0)


def test_roles_follow_with_each_migration_and_keep_what_was_added(db: None) -> None:
    group = Group.objects.get(name="support")
    extra = Group.objects.get(name="finance").permissions.get(codename="refund_job")
    group.permissions.add(extra)
    group.permissions.remove(group.permissions.get(codename="cancel_job"))

    call_command("migrate", verbosity=0)

    assert {"cancel_job", "refund_job"} <= set(group.permissions.values_list("codename", flat=True))
