"""What the account pages ask."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from allauth.core import ratelimit
from django import forms

from apps.accounts.models import SCOPES, ApiKey
from apps.accounts.requests import SignedInRequest

SCOPE_LABELS = {
    "jobs:read": "jobs:read – look at jobs, projects and results",
    "jobs:write": "jobs:write – start, cancel and delete jobs: this spends credits",
    "uploads": "uploads – bring files",
    "credits:read": "credits:read – see balance and usage",
    "webhooks": "webhooks – say who is told",
}
MOST_CREDITS = 1_000_000_000


class KeyForm(forms.Form):
    """A new key, or with `of` what an existing one may do."""

    name = forms.CharField(
        max_length=100,
        label="Name",
        help_text="Where it will be used, so that you know which one to disable: laptop, render farm, website.",
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope, SCOPE_LABELS[scope]) for scope in SCOPES],
        widget=forms.CheckboxSelectMultiple,
        initial=list(SCOPES),
        label="What it may do",
        error_messages={"required": "Choose at least one."},
    )
    monthly_cap = forms.DecimalField(
        required=False,
        min_value=0,
        max_value=MOST_CREDITS,
        decimal_places=2,
        label="Credits a month",
        help_text="It is refused when it would spend more in a calendar month (UTC). Empty: no cap.",
    )
    expires_on = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        label="Works until",
        help_text="The last day, UTC. Empty: until you disable it.",
    )

    @classmethod
    def of(cls, key: ApiKey, data: Any = None) -> KeyForm:
        cap = None if key.monthly_cap is None else Decimal(key.monthly_cap) / 100
        last_day = key.expires_at.astimezone(UTC).date() - timedelta(days=1) if key.expires_at else None
        told = {"name": key.name, "scopes": key.scopes, "monthly_cap": cap, "expires_on": last_day}
        return cls(data, initial=told)

    def wanted(self) -> dict[str, Any]:
        """As the services take it."""
        cleaned = self.cleaned_data
        cap: Decimal | None = cleaned["monthly_cap"]
        last_day: date | None = cleaned["expires_on"]
        return {
            "name": cleaned["name"],
            "scopes": cleaned["scopes"],
            "monthly_cap": None if cap is None else int(cap * 100),
            "expires_at": datetime.combine(last_day + timedelta(days=1), time(), UTC) if last_day else None,
        }


class RotateForm(forms.Form):
    hours = forms.TypedChoiceField(
        choices=[("0", "stops now"), ("1", "works for another hour"), ("24", "works for another day")],
        coerce=int,
        initial="24",
        label="The old secret",
    )


class NoticesForm(forms.Form):
    mails_finished_jobs = forms.BooleanField(required=False, label="Mail me when a job is finished")
    mails_low_credits = forms.BooleanField(required=False, label="Mail me when my credits run low")


class NameForm(forms.Form):
    name = forms.CharField(
        max_length=150,
        required=False,
        label="Name",
        widget=forms.TextInput({"autocomplete": "name"}),
        help_text="For support, and nobody else.",
    )


class LeaveForm(forms.Form):
    """The password, and that it is meant."""

    password = forms.CharField(
        widget=forms.PasswordInput({"autocomplete": "current-password"}), strip=False, label="Your password"
    )
    sure = forms.BooleanField(label="I understand that this cannot be undone")

    def __init__(self, *args: Any, request: SignedInRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        # As many guesses as anywhere else: whoever found an open browser must not try words here.
        if not ratelimit.consume(self.request, action="reauthenticate", user=self.request.user):
            raise forms.ValidationError("Too many tries. Wait a minute.")
        password: str = self.cleaned_data["password"]
        if not self.request.user.check_password(password):
            raise forms.ValidationError("This is not your password.")
        return password
