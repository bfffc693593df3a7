"""What pages ask about projects and files."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.projects.models import Project


class UploadForm(forms.Form):
    """The file that the page's script is about to send, and for which of the user's projects."""

    filename = forms.CharField(max_length=1000)
    size = forms.IntegerField(min_value=1)
    project = forms.ModelChoiceField(queryset=Project.objects.none(), required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.for_user(user)  # type: ignore[attr-defined]


class ProjectForm(forms.Form):
    name = forms.CharField(
        max_length=120,
        label="Name",
        help_text="Programs can use the same name as <code>project</code> in the API.",
    )
