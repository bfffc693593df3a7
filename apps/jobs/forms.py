"""The page's spelling of a job request; `parse_request` judges it, as it does for the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.functional import cached_property

from apps.accounts.models import User
from apps.engine.formats import FORMATS
from apps.engine.options import Options
from apps.errors import AppError
from apps.jobs.choices import FORMAT_LABELS
from apps.jobs.models import Job
from apps.jobs.options import JobRequest, parse_request
from apps.jobs.presets import PLAIN, UNSEEN, Presets, presets_of, shape_of
from apps.projects.models import Asset, Project
from apps.projects.services import as_uuid, default_project

BACKGROUNDS = {"transparent": "Transparent", "color": "Colour", "image": "Picture"}
FITS = {"cover": "Fill the frame", "contain": "Show it whole", "stretch": "Stretch"}
SWATCHES = {
    "#09a246": "Green screen",
    "#0047bb": "Blue screen",
    "#ffffff": "White",
    "#000000": "Black",
    "#808080": "Grey",
}
CANVASES = {"As the clip": ("", ""), "Wide": (1920, 1080), "Square": (1080, 1080), "Tall": (1080, 1920)}
"""Sizes that people often want, each a click away."""
MORE = {
    "trim_start": ("trim", "start"),
    "trim_end": ("trim", "end"),
    "choke_px": ("edge", "choke_px"),
    "feather_px": ("edge", "feather_px"),
    "despill": ("edge", "despill"),
    "canvas_width": ("composition", "canvas", "width"),
    "canvas_height": ("composition", "canvas", "height"),
    "anchor": ("composition", "foreground", "anchor"),
    "scale": ("composition", "foreground", "scale"),
    "offset_x": ("composition", "foreground", "offset", "x"),
    "offset_y": ("composition", "foreground", "offset", "y"),
}
"""What few need, folded away: the page's name → the way to it through the contract's objects."""
STATE = (
    "asset", "model", "output_format", "bg_type", "bg_color", "bg_image_id", "fit", "project", "video_url", "tried",
    *MORE,
)  # fmt: skip
"""What a reload, a link or the back button brings back: the address carries it."""
FIELD_OF = {
    "bg_image_url": "bg_image", "bg_image_id": "bg_image", "background.image_id": "bg_image", "project": "project",
    **{".".join(path): name for name, path in MORE.items()}, "composition.canvas": "canvas_width",
}  # fmt: skip
"""The contract's name → the page's, where they differ; an unknown name becomes an error of the whole form."""
MOST_CLIPS = 20
"""In one go: more would make a list that nobody reads before paying for it."""
GOALS = ("start", "buy", "preview", "price")
PREVIEW_SECONDS = 3


def address_of(choices: dict[str, Any]) -> str:
    """The page that makes a cutout, opened with these choices. One that names its model is asked for nothing else."""
    state = {name: value for name, value in choices.items() if value and name in STATE}
    return f"{reverse('web:new')}?{urlencode(state, doseq=True)}"


def more_of(options: Options) -> dict[str, str]:
    """The folded part's choices of a job that was made before; what stands at its default is left out."""
    start, end = options.trim or (0.0, None)
    told = {"trim_start": start or None, "trim_end": end}
    return {name: f"{value:.10g}" for name, value in told.items() if value is not None} | shape_of(options)


class CutoutForm(forms.Form):
    """Everything about new jobs. What is not in it yet (a file, a picture) is not an error until Start."""

    once = forms.UUIDField(required=False)
    """Made with each page that is shown, so that a double click is known as one."""
    shown = forms.DecimalField(required=False)
    """The price in credits that stood on the Start button."""
    video_url = forms.CharField(required=False, max_length=2000)
    model = forms.CharField(required=False)
    output_format = forms.CharField(required=False)
    bg_type = forms.CharField(required=False)
    bg_color = forms.CharField(required=False)
    bg_image = forms.FileField(required=False)
    bg_image_id = forms.UUIDField(required=False)
    fit = forms.CharField(required=False)
    project = forms.ModelChoiceField(queryset=Project.objects.none(), required=False)
    project_was = forms.ModelChoiceField(queryset=Project.objects.none(), required=False)
    """The one whose defaults the choices were shown with."""
    trim_start = forms.FloatField(required=False, label="From second")
    trim_end = forms.FloatField(required=False, label="To second")
    choke_px = forms.FloatField(required=False, label="Shrink the edge, pixels")
    feather_px = forms.FloatField(required=False, label="Soften the edge, pixels")
    despill = forms.FloatField(required=False, label="Take the wall’s light off, 0 to 1")
    canvas_width = forms.IntegerField(required=False, label="Width, pixels")
    canvas_height = forms.IntegerField(required=False, label="Height, pixels")
    anchor = forms.CharField(required=False, label="Where the clip lies")
    scale = forms.FloatField(required=False, label="Scale")
    offset_x = forms.IntegerField(required=False, label="Right by, pixels")
    offset_y = forms.IntegerField(required=False, label="Down by, pixels")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.projects = Project.objects.for_user(user).order_by("-is_default", "name")
        for name in ("project", "project_was"):
            self.fields[name].queryset = self.projects  # type: ignore[attr-defined]
        self.request: JobRequest | None = None

    @classmethod
    def opened(cls, address: QueryDict, *, user: User) -> CutoutForm:
        """The page as an address opens it: with its choices, or with those of its project."""
        data = address.copy()
        form = cls(data, user=user)
        presets = {} if address.get("model") else form.presets.choices
        for name, value in {**PLAIN, **presets}.items():
            data.setdefault(name, value)
        return form

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("bg_type") or "transparent"
        asked = self._asked(cleaned, kind)
        if kind == "image" and self.goal != "price" and not self._has_picture(cleaned):
            self.add_error("bg_image", "Choose a picture to lay the cutout over.")
        if kind == "transparent" and self.is_opaque_format:
            label = FORMAT_LABELS[str(cleaned["output_format"])]
            told = f"{label} cannot hold a transparent background."
            told = f"{told} Lay the cutout over a colour or a picture, or take a format that keeps transparency."
            self.add_error("output_format", told)
            return cleaned
        try:
            # A form has no null: what is empty was left out.
            self.request = parse_request({name: v for name, v in asked.items() if v != ""}, needs_video=False)
        except AppError as refusal:
            self.refuse(refusal)
        return cleaned

    def _asked(self, cleaned: dict[str, Any], kind: str) -> dict[str, Any]:
        """The contract's fields: the page's choices over what its project decides unseen."""
        unseen = self.presets.beyond
        asked: dict[str, Any] = {name: unseen[name] for name in UNSEEN if name in unseen}
        asked |= {name: cleaned.get(name) for name in ("model", "output_format", "video_url")}
        asked["bg_type"] = kind
        if kind == "color":
            asked["bg_color"] = cleaned.get("bg_color")
        elif kind == "image":
            own = cleaned.get("bg_image_id") or cleaned.get("bg_image")
            if not own and "bg_image_url" in unseen:
                asked["bg_image_url"] = unseen["bg_image_url"]
            else:
                # A picture sent with this very form has no id before it has been looked at.
                asked["bg_image_id"] = str(cleaned.get("bg_image_id") or "with-this-form")
            asked["fit"] = cleaned.get("fit") or self.presets.choices.get("fit", "")
        for name, (*way, entry) in MORE.items():
            if cleaned.get(name) in (None, "", PLAIN.get(name)):
                continue
            part = asked
            for step in way:
                part = part.setdefault(step, {})
            part[entry] = cleaned[name]
        return asked

    def _has_picture(self, cleaned: dict[str, Any]) -> bool:
        return bool(self.background_found or cleaned.get("bg_image") or "bg_image_url" in self.presets.beyond)

    def refuse(self, refusal: AppError) -> None:
        """A refusal at the field it names, in the API's words but for the name, which is the page's."""
        param = refusal.param or ""
        name = FIELD_OF.get(param, param)
        if name not in self.fields:
            self.add_error(None, refusal.message)
            return
        label = self.fields[name].label
        self.add_error(name, refusal.message.replace(f"{param} ", f"“{label}” ", 1) if label else refusal.message)

    @cached_property
    def assets(self) -> list[Asset]:
        """The uploaded clips in the order of the list: the user's own whose files are still there."""
        return self._own_videos("asset")[:MOST_CLIPS]

    @cached_property
    def these(self) -> list[Asset]:
        """Those of them that the Start button was about; all, where it did not say."""
        return self._own_videos("these") or self.assets

    @cached_property
    def background_found(self) -> Asset | None:
        key = as_uuid(str(self._now("bg_image_id") or ""))
        return self._own(Asset.Kind.BACKGROUND).filter(pk=key).first() if key else None

    @cached_property
    def tried(self) -> Job | None:
        """The free preview that the page shows beside the clip."""
        key = as_uuid(str(self._now("tried") or ""))
        job = Job.objects.for_user(self.user).with_details().filter(pk=key).first() if key else None
        return job if job and job.options.get("preview_duration") else None

    @cached_property
    def project_chosen(self) -> Project:
        key = as_uuid(str(self._now("project") or ""))
        return (self.projects.filter(pk=key).first() if key else None) or default_project(self.user)

    @cached_property
    def presets(self) -> Presets:
        return presets_of(self.project_chosen)

    @property
    def is_opaque_format(self) -> bool:
        row = FORMATS.get(str(self._now("output_format")))
        return row is not None and not row.alpha

    @property
    def goal(self) -> str:
        """What the pressed button is for: `start`, `buy` (credits, then start), `preview` or only the `price`."""
        action = self.data.get("action")
        return action if action in GOALS else "price"

    @property
    def chosen(self) -> dict[str, Any]:
        """Every choice as it stands, for radio buttons and links: sent, or from the address, or the default."""
        now = {name: self._now(name) or PLAIN.get(name, "") for name in STATE}
        return {**now, "asset": [str(asset.pk) for asset in self.assets], "project": str(self.project_chosen.pk)}

    @property
    def more(self) -> bool:
        """Whether the folded part holds anything."""
        return any(self._now(name) not in (None, "", PLAIN.get(name)) for name in MORE)

    def address(self, **changes: Any) -> str:
        """The page with these choices made."""
        return address_of({**self.chosen, **changes})

    def _now(self, name: str) -> Any:
        return self.data.get(name)

    def _own_videos(self, name: str) -> list[Asset]:
        texts = self.data.getlist(name) if isinstance(self.data, QueryDict) else [self.data.get(name) or ""]
        keys = list(dict.fromkeys(key for text in texts if (key := as_uuid(str(text)))))
        found = self._own(Asset.Kind.VIDEO).in_bulk(keys[:MOST_CLIPS]) if keys else {}
        return [found[key] for key in keys if key in found]

    def _own(self, kind: str) -> QuerySet[Asset]:
        own = Asset.objects.for_user(self.user).filter(kind=kind, status=Asset.Status.READY)
        return own.exclude(file="")


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
