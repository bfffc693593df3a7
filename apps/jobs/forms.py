"""The page's spelling of a job request; `parse_request` judges it, as it does for the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.urls import reverse

from apps.accounts.models import User
from apps.engine.options import MODELS, Options
from apps.errors import AppError
from apps.jobs.models import Job
from apps.jobs.options import JobRequest, parse_request
from apps.projects.models import Asset, Project

BACKGROUNDS = {"transparent": "Transparent", "color": "Colour", "image": "Picture"}
MORE = {
    "trim_start": ("trim", "start"),
    "trim_end": ("trim", "end"),
    "choke_px": ("edge", "choke_px"),
    "feather_px": ("edge", "feather_px"),
    "despill": ("edge", "despill"),
}
"""What few need, folded away: the page's name → the contract's object and its entry."""
STATE = ("asset", "model", "output_format", "bg_type", "bg_color", "bg_image_id", "project", *MORE)
"""What a reload, a link or the back button brings back: the address carries it."""
FIELD_OF = {
    "bg_image_url": "bg_image", "bg_image_id": "bg_image", "background.image_id": "bg_image", "project": "project",
    **{".".join(path): name for name, path in MORE.items()},
}  # fmt: skip
"""The contract's name → the page's, where they differ; an unknown name becomes an error of the whole form."""


def address_of(choices: dict[str, Any]) -> str:
    """The page that makes a cutout, opened with these choices."""
    state = {name: value for name, value in choices.items() if value and name in STATE}
    return f"{reverse('web:new')}?{urlencode(state)}"


def more_of(options: Options) -> dict[str, str]:
    """The folded part's choices of a job that was made before; what stands at its default is left out."""
    start, end = options.trim or (0.0, None)
    told = {"trim_start": start or None, "trim_end": end}
    plain = Options().edge.as_dict()
    told |= {name: value for name, value in options.edge.as_dict().items() if value != plain[name]}
    return {name: f"{value:.10g}" for name, value in told.items() if value is not None}


class CutoutForm(forms.Form):
    """Everything about a new job. What is not in it yet (a file, a picture) is not an error until Start."""

    once = forms.UUIDField(required=False)
    """Made with each page that is shown, so that a double click is known as one."""
    shown = forms.DecimalField(required=False)
    """The price in credits that stood on the Start button."""
    asset = forms.UUIDField(required=False)
    file = forms.FileField(required=False)
    video_url = forms.CharField(required=False, max_length=2000)
    model = forms.CharField(required=False)
    output_format = forms.CharField(required=False)
    bg_type = forms.CharField(required=False)
    bg_color = forms.CharField(required=False)
    bg_image = forms.FileField(required=False)
    bg_image_id = forms.UUIDField(required=False)
    project = forms.ModelChoiceField(queryset=Project.objects.none(), required=False)
    trim_start = forms.FloatField(required=False)
    trim_end = forms.FloatField(required=False)
    choke_px = forms.FloatField(required=False)
    feather_px = forms.FloatField(required=False)
    despill = forms.FloatField(required=False)

    defaults = {  # noqa: RUF012
        "model": MODELS[0],
        "output_format": "webm",
        "bg_type": "transparent",
        "bg_color": "#09a246",
    }
    """Chosen when a new page opens."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.projects = Project.objects.for_user(user).order_by("-is_default", "name")
        self.fields["project"].queryset = self.projects  # type: ignore[attr-defined]
        self.request: JobRequest | None = None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("bg_type") or "transparent"
        asked: dict[str, Any] = {name: cleaned.get(name) for name in ("model", "output_format", "video_url")}
        asked["bg_type"] = kind
        if kind == "color":
            asked["bg_color"] = cleaned.get("bg_color")
        elif kind == "image":
            # A picture sent with this very form has no id before it has been looked at.
            asked["bg_image_id"] = str(cleaned.get("bg_image_id") or "with-this-form")
        for name, (group, entry) in MORE.items():
            if cleaned.get(name) is not None:
                asked.setdefault(group, {})[entry] = cleaned[name]
        if kind == "image" and self.goal != "price" and not (self.background_found or cleaned["bg_image"]):
            self.add_error("bg_image", "Choose a picture to lay the cutout over.")
        try:
            # A form has no null: what is empty was left out.
            self.request = parse_request({name: v for name, v in asked.items() if v != ""}, needs_video=False)
        except AppError as refusal:
            self.refuse(refusal)
        return cleaned

    def refuse(self, refusal: AppError) -> None:
        """A refusal at the field it names, in the same words as the API's."""
        name = FIELD_OF.get(refusal.param or "", refusal.param or "")
        self.add_error(name if name in self.fields else None, refusal.message)

    @property
    def asset_found(self) -> Asset | None:
        """The uploaded clip, if it is the user's own and its file still there."""
        return self._own(self._now("asset"), Asset.Kind.VIDEO)

    @property
    def background_found(self) -> Asset | None:
        return self._own(self._now("bg_image_id"), Asset.Kind.BACKGROUND)

    @property
    def goal(self) -> str:
        """What the button that was pressed is for: `start`, `buy` (credits, then start) or `price`."""
        action = self.data.get("action")
        return action if action in ("start", "buy") else "price"

    @property
    def chosen(self) -> dict[str, Any]:
        """Every choice as it stands, for radio buttons and links: sent, or from the address, or the default."""
        return {name: self._now(name) or self.defaults.get(name, "") for name in (*STATE, "video_url")}

    @property
    def more(self) -> bool:
        """Whether the folded part holds anything."""
        return any(self._now(name) for name in MORE)

    def address(self, **changes: Any) -> str:
        """The page with these choices made."""
        return address_of({**self.chosen, **changes})

    def _now(self, name: str) -> Any:
        return self.data.get(name) if self.is_bound else self.initial.get(name)

    def _own(self, key: Any, kind: str) -> Asset | None:
        if not key:
            return None
        try:
            own = Asset.objects.for_user(self.user).filter(pk=key, kind=kind, status=Asset.Status.READY)
            return own.exclude(file="").first()
        except forms.ValidationError:
            return None


class HistoryFilter(forms.Form):
    """What to show of the past; a wrong value shows everything."""

    project = forms.ModelChoiceField(queryset=Project.objects.none(), required=False, empty_label="All projects")
    status = forms.ChoiceField(choices=[("", "Any status"), *Job.Status.choices], required=False)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["project"].queryset = Project.objects.for_user(user).order_by("name")  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["data-autosubmit"] = True

    @property
    def asked(self) -> dict[str, Any]:
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def query(self) -> str:
        """The same question again, for the page turner; empty or ending in &."""
        text = urlencode({name: getattr(value, "pk", value) for name, value in self.asked.items()})
        return f"{text}&" if text else ""
