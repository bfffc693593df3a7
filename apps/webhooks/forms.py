"""What the webhook pages ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms

from apps.errors import AppError
from apps.webhooks import services
from apps.webhooks.models import ALL_EVENTS, EVENTS, Delivery, Endpoint

MEANINGS = {
    ALL_EVENTS: "Everything, also what comes later",
    "job.started": "A job starts",
    "job.completed": "A job is completed",
    "job.failed": "A job fails",
    "job.canceled": "A job is canceled",
    "credits.low": "Credits run low",
}


class EndpointForm(forms.Form):
    url = forms.CharField(
        max_length=2000,
        label="Address",
        widget=forms.URLInput(attrs={"placeholder": "https://example.org/hooks/clearmatte"}),
        help_text="It is sent a POST for each event, and answers 2xx within 15 seconds.",
    )
    description = forms.CharField(max_length=200, label="What it is for", required=False)
    events = forms.MultipleChoiceField(
        choices=[(event, MEANINGS[event]) for event in (ALL_EVENTS, *EVENTS)],
        label="Told of",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event."},
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            services.check_url(url)
        except AppError as refusal:
            raise forms.ValidationError(refusal.message.removeprefix("url: ")) from None
        return url

    @classmethod
    def of(cls, endpoint: Endpoint, given: Any = None) -> EndpointForm:
        now = {"url": endpoint.url, "description": endpoint.description, "events": endpoint.events}
        return cls(given, initial=now)


class RotateForm(forms.Form):
    """How long the old secret goes on signing."""

    overlap = forms.TypedChoiceField(
        choices=[(24, "for a day"), (72, "for three days"), (168, "for a week"), (0, "no longer, from now on")],
        coerce=int,
        label="After a change the old secret signs",
    )

    @property
    def hours(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["overlap"])


class LogFilter(forms.Form):
    state = forms.ChoiceField(
        choices=[("", "Any state"), *Delivery.State.choices],
        required=False,
        label="State",
        widget=forms.Select(attrs={"data-autosubmit": ""}),
    )

    @property
    def asked(self) -> dict[str, str]:
        return {"state": self.cleaned_data["state"]} if self.is_valid() and self.cleaned_data["state"] else {}
