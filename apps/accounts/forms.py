"""What the account pages ask."""

from __future__ import annotations

from django import forms


class KeyForm(forms.Form):
    name = forms.CharField(
        max_length=100,
        label="Name",
        help_text="Where it will be used, so that you know which one to disable: laptop, render farm, website.",
    )


class NoticesForm(forms.Form):
    mails_finished_jobs = forms.BooleanField(required=False, label="Mail me when a job is finished")
    mails_low_credits = forms.BooleanField(required=False, label="Mail me when my credits run low")
