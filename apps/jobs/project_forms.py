"""What the pages about projects ask."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.http import QueryDict

from apps.engine.formats import FORMATS
from apps.engine.options import MODELS
from apps.errors import AppError
from apps.jobs.choices import FORMAT_LABELS
from apps.jobs.forms import BACKGROUNDS
from apps.jobs.models import Job, JobQuerySet, Output
from apps.jobs.posters import with_media
from apps.jobs.projects import check_defaults
from apps.jobs.retention import UNFINISHED
from apps.projects.models import Project, ProjectQuerySet

BACKGROUND_KEYS = ("bg_type", "bg_color", "bg_image_url", "bg_image_id", "fit", "background")
KEPT = "kept"
"""The choice that leaves alone a background which the page cannot show, such as a picture."""


class Narrowing(forms.Form):
    """What to show of a list; a wrong value shows everything."""

    @property
    def asked(self) -> dict[str, Any]:
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def query(self) -> str:
        """The same question again, for links; empty or ending in &."""
        text = urlencode(self.asked)
        return f"{text}&" if text else ""


class ProjectsFilter(Narrowing):
    q = forms.CharField(required=False, max_length=200, label="Search", widget=forms.TextInput({"type": "search"}))
    show = forms.ChoiceField(
        choices=[("", "All projects"), ("media", "With media"), ("running", "With running jobs")],
        required=False,
        label="Show",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["q"].widget.attrs["placeholder"] = "Name or external id"
        self.fields["show"].widget.attrs["data-autosubmit"] = True

    def narrow(self, rows: ProjectQuerySet) -> ProjectQuerySet:
        asked = self.asked
        if words := asked.get("q"):
            rows = rows.filter(Q(name__icontains=words) | Q(external_id__icontains=words))
        if asked.get("show") == "media":
            files = Output.objects.filter(job=OuterRef("pk")).exclude(file="")
            rows = rows.filter(Exists(with_media(Job.objects.filter(Exists(files), project=OuterRef("pk")))))
        if asked.get("show") == "running":
            rows = rows.filter(Exists(Job.objects.filter(project=OuterRef("pk"), status__in=UNFINISHED)))
        return rows


class JobsFilter(Narrowing):
    """Of one project's jobs. Days are UTC, as on the page without a script."""

    status = forms.ChoiceField(choices=[("", "Any status"), *Job.Status.choices], required=False, label="Status")
    model = forms.ChoiceField(
        choices=[("", "Any model"), *((name, name) for name in MODELS)], required=False, label="Model"
    )
    since = forms.DateField(required=False, label="From", widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput({"type": "date"}))

    def narrow(self, rows: JobQuerySet) -> JobQuerySet:
        asked = self.asked
        rows = rows.filter(**{name: asked[name] for name in ("status", "model") if name in asked})
        if since := asked.get("since"):
            rows = rows.filter(created_at__gte=_midnight(since))
        if until := asked.get("until"):
            rows = rows.filter(created_at__lt=_midnight(until) + timedelta(days=1))
        return rows


class ChosenForm(forms.Form):
    """Jobs ticked in a project's list, or all that its filter shows, as far as they were over by `before`."""

    all = forms.BooleanField(required=False)
    before = forms.DateTimeField(required=False)

    def __init__(self, data: QueryDict, *, project: Project) -> None:
        super().__init__(data)
        self.ticked = data.getlist("job")
        self.narrowing = JobsFilter(data)
        self.rows = Job.objects.filter(project=project)

    @property
    def jobs(self) -> JobQuerySet:
        """The newest first. What is no id of a job of this project counts as not ticked."""
        self.is_valid()
        rows = self.narrowing.narrow(self.rows) if self.cleaned_data.get("all") else self._ticked()
        if before := self.cleaned_data.get("before"):
            rows = rows.filter(completed_at__lte=before)
        return rows

    @property
    def carried(self) -> list[tuple[str, str]]:
        """The same choice as hidden fields, for the page that asks once more."""
        if self.cleaned_data.get("all"):
            return [("all", "1"), *((name, str(value)) for name, value in self.narrowing.asked.items())]
        return [("job", str(pk)) for pk in self._ticked().values_list("pk", flat=True)]

    def _ticked(self) -> JobQuerySet:
        keys = []
        for text in self.ticked:
            try:
                keys.append(forms.UUIDField().clean(text))
            except forms.ValidationError:
                continue
        return self.rows.filter(pk__in=keys)


class ProjectSettingsForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name")
    external_id = forms.CharField(
        max_length=200,
        required=False,
        label="External id",
        help_text="Your own name for it, which programs may give as <code>project</code>. Unique in your account.",
    )
    result_days = forms.FloatField(required=False, min_value=1 / 24, label="Keep results for (days)")
    source_hours = forms.FloatField(required=False, min_value=1, label="Keep sources for (hours)")
    model = forms.ChoiceField(required=False, label="Model")
    output_format = forms.ChoiceField(required=False, label="Format")
    bg_type = forms.ChoiceField(required=False, label="Background")
    bg_color = forms.CharField(required=False, max_length=40, label="Background colour")

    def __init__(self, data: Any, *, project: Project) -> None:
        self.project = project
        own = project.defaults
        super().__init__(data, initial={**_fields_of(project), **_background_of(own)})
        self._offer("model", [("", "As asked, else original"), *((name, name) for name in MODELS)])
        labels = ((name, FORMAT_LABELS.get(name, name)) for name in FORMATS)
        self._offer("output_format", [("", "As asked, else WebM"), *labels])
        shown = [(name, label) for name, label in BACKGROUNDS.items() if name != "image"]
        kept = [(KEPT, "As set over the API")] if self.initial["bg_type"] == KEPT else []
        self._offer("bg_type", [("", "As asked, else transparent"), *shown, *kept])
        self.fields["bg_color"].widget.attrs["placeholder"] = "#09a246"
        for name, most, unit in (
            ("result_days", settings.RESULT_DAYS, "days"),
            ("source_hours", settings.SOURCE_HOURS, "hours"),
        ):
            self.fields[name].help_text = f"Empty: {most} {unit}, as everywhere on this site; never longer."
            self.fields[name].widget.attrs["step"] = "any"

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            cleaned["defaults"] = check_defaults(self._defaults(cleaned))
        except AppError as refusal:
            self.refuse(refusal)
        return cleaned

    def refuse(self, refusal: AppError) -> None:
        name = (refusal.param or "").removeprefix("defaults.")
        self.add_error(name if name in self.fields else None, refusal.message.removeprefix("defaults: "))

    @property
    def wanted(self) -> dict[str, Any]:
        """For `jobs.projects.change`."""
        cleaned = self.cleaned_data
        plain = ("name", "result_days", "source_hours", "defaults")
        return {**{name: cleaned[name] for name in plain}, "external_id": cleaned["external_id"] or None}

    def _defaults(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """What the page does not show stays as it was set."""
        replaced = ("model", "output_format", *(() if cleaned["bg_type"] == KEPT else BACKGROUND_KEYS))
        made = {name: value for name, value in self.project.defaults.items() if name not in replaced}
        made |= {name: cleaned[name] for name in ("model", "output_format") if cleaned[name]}
        if cleaned["bg_type"] not in ("", KEPT):
            made["bg_type"] = cleaned["bg_type"]
        if cleaned["bg_type"] == "color" and cleaned["bg_color"]:
            made["bg_color"] = cleaned["bg_color"]
        return made


def _fields_of(project: Project) -> dict[str, Any]:
    own = {name: getattr(project, name) for name in ("name", "external_id", "result_days", "source_hours")}
    return {**own, **{name: project.defaults.get(name, "") for name in ("model", "output_format")}}


def _background_of(defaults: dict[str, Any]) -> dict[str, Any]:
    given = {name for name in BACKGROUND_KEYS if name in defaults}
    kind, color = defaults.get("bg_type", ""), defaults.get("bg_color", "")
    is_shown = given <= {"bg_type", "bg_color"} and kind in ("", "transparent", "color") and isinstance(color, str)
    return {"bg_type": kind, "bg_color": color} if is_shown else {"bg_type": KEPT, "bg_color": ""}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
