"""What pages ask about projects and files."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.projects.models import Project


class UploadForm(forms.Form):
    """One video for one project of the user's; which file it is, the service finds out."""

    file = forms.FileField(allow_empty_file=True)
    project = forms.ModelChoiceField(queryset=Project.objects.none(), required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.filter(owner=user)  # type: ignore[attr-defined]


class ProjectForm(forms.Form):
    name = forms.CharField(
        max_length=120,
        label="Name",
        help_text="Programs can use the same name as <code>project</code> in the API.",
    )
