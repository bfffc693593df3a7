"""`manage.py create_account`: somebody with a password, an API key and an exact number of credits."""

from __future__ import annotations

import argparse
import json
import secrets
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import transaction

from apps.accounts.models import User
from apps.accounts.roles import ROLES
from apps.accounts.services import issue_key
from apps.credits import services as credits
from apps.credits.amounts import from_credits, to_credits
from apps.errors import AppError


class Command(BaseCommand):
    requires_system_checks = ()
    help = "Create an account with exactly N credits and one API key, which is shown once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--credits", default="0", metavar="N", help="Its balance, up to two decimals. Default 0.")
        parser.add_argument("--key", default="first", metavar="NAME", help="The key's name. Default: first.")
        staff = parser.add_mutually_exclusive_group()
        staff.add_argument("--superuser", action="store_true", help="May use the whole admin.")
        staff.add_argument("--role", choices=list(ROLES), help="Is of the staff, and may do there what this role may.")
        parser.add_argument("--json", action="store_true", help="The last line is one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        amount = parse_amount(options["credits"])
        try:
            made = create(
                options["email"],
                amount,
                key_name=options["key"],
                is_superuser=options["superuser"],
                role=options["role"],
            )
        except AppError as error:
            raise CommandError(f"--key: {error.message}" if error.param == "name" else error.message) from None
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        self.stdout.write(
            f"E-mail    {made['email']}\nPassword  {made['password']}\nAPI key   {made['api_key']}\n"
            f"Credits   {made['credits']}\nPassword and key are not kept anywhere in clear: note them now."
        )


def parse_amount(text: str) -> int:
    """1/100 credits of what was typed."""
    try:
        amount = from_credits(text)
    except AppError as error:
        raise CommandError(f"--credits: {error.message}") from None
    if amount < 0:
        raise CommandError("--credits must be 0 or more.")
    return amount


@transaction.atomic
def create(
    email: str, amount: int, *, key_name: str, is_superuser: bool = False, role: str | None = None
) -> dict[str, Any]:
    """All of it or nothing; the e-mail counts as verified, since an operator vouches for it."""
    email = User.objects.normalize_email(email.strip()).lower()
    try:
        validate_email(email)
    except ValidationError:
        raise CommandError(f"{email!r} is not an e-mail address.") from None
    if User.objects.filter(email=email).exists():
        raise CommandError(f"An account with {email} exists already. Give credits to it in the admin.")
    password = secrets.token_urlsafe(12)
    is_staff = is_superuser or role is not None
    user = User.objects.create_user(email, password, is_staff=is_staff, is_superuser=is_superuser)
    if role:
        user.groups.add(Group.objects.get(name=role))
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    credits.open_wallet(user, grant=False)
    if amount:
        credits.grant(user, amount, key=f"grant:account:{user.pk}", note="Given when the account was created")
    _, secret = issue_key(user, name=key_name)
    return {"email": email, "password": password, "api_key": secret, "credits": to_credits(amount)}
