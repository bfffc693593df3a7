"""The named improvements around the networks. Each can be left out, so that its worth can be measured."""

from __future__ import annotations

from apps.engine.errors import BadOptions

STAGES = {
    "carry": "mattes carried along the motion between inferred frames, instead of inferring every frame",
    "steady": "flicker averaged away along the motion, from both sides",
    "restore": "parts that a network lost for a moment put back from the frames around",
    "follow": "a subject that comes or goes put back on its course, where a network lost it",
    "mirror": "a subject that the generalist does not see in the mirror too left out",
    "settle": "people networks that disagree settled by a third vote, instead of averaged",
    "colours": "disputed regions compared with the colours of the subject and of the background",
    "patches": "wide half-transparent patches decided by their colours",
    "bodies": "a whole person that one people network is sure of kept, where the other does not see them",
    "subjects": "people networks heard only about people",
    "halves": "a person of whom the generalist sees a half kept whole, where the portrait network is surer",
    "fuse": "the fine network inside the robust one, instead of their mean",
    "agree": "a larger look of the same network heard only where it sees the same subject",
    "foreground": "the subject's own colour along its edges",
    "despill": "the light of a green or blue wall taken off the subject",
}
"""By name, with what they do."""

_TIME, _PEOPLE = ("carry", "steady", "restore", "follow"), ("settle", "colours")
_COLOUR = ("patches", "foreground", "despill")

_OF = {
    ("light", False): (*_TIME, "mirror", *_COLOUR),
    ("light", True): (*_TIME, "mirror", *_COLOUR),
    ("original", False): (*_TIME, "mirror", *_PEOPLE, "subjects", "halves", *_COLOUR),
    ("original", True): (*_TIME, "mirror", *_PEOPLE, "subjects", "halves", *_COLOUR),
    ("human", False): (*_TIME, *_PEOPLE, "bodies", *_COLOUR),
    ("human", True): (*_TIME, "mirror", *_PEOPLE, "subjects", "halves", *_COLOUR),
    ("pro", False): (*_TIME, "mirror", *_PEOPLE, "bodies", "subjects", "fuse", *_COLOUR),
    ("pro", True): (*_TIME, "mirror", *_PEOPLE, "subjects", "halves", "agree", *_COLOUR),
    ("chroma", False): ("despill",),
    ("chroma", True): ("despill",),
}


def of(model: str, permissive: bool) -> tuple[str, ...]:
    """The stages that a model uses."""
    return _OF[model, permissive]


def parse(text: str | None, model: str, *, permissive: bool) -> frozenset[str]:
    """`carry,steady` to names; a stage that the model does not have is refused, since it would measure nothing."""
    names = frozenset(filter(None, (text or "").split(",")))
    own = of(model, permissive)
    if unknown := sorted(names - set(own)):
        raise BadOptions(f"{model} has no stage {unknown[0]}: choose from {', '.join(own)}.", param="without")
    return names
