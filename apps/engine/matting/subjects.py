"""Which part of a picture the people networks may decide, and which belongs to other subjects."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting.scale import Map, disc, map_to, roughly, size_within

SIDE = 128
"""Short side on which whole subjects are told apart."""
NOBODY = 0.3
"""Where the people network is nowhere surer than this, it sees nobody."""
FIRM = 0.9
"""Alpha of a person's body; on glass or fur the people network wavers."""
MINOR = 0.3
"""Share of the whole subject below which what the people network sees is a stray patch on something else."""
REACH = 16
"""A person's own surroundings reach 1/16 of the side: what the networks say there is about the same subject."""
TOUCH = 20
"""What lies within 1/20 of the side of a subject touches it."""
SURE = 0.75
"""Mean alpha from which a generalist is sure of another subject…"""
SIZABLE = 0.1
"""…whose area is at least this share of the people's: a palm tree at a shoulder is smaller, a dog is not."""
ALIKE = (0.6, 0.8)
"""Overlap over union from which a portrait network may speak about what the generalist sees, and speaks fully."""
WITHIN = (0.6, 0.8)
"""Share of the generalist's subject that lies in the portrait's, from which it may be a part of the same person…"""
SURER = (0.1, 0.25)
"""…where the firm share of the portrait is larger by so much: of a bottle the generalist is as sure as the other."""
BODILY = (0.75, 0.85)
"""Firm share from which the portrait is a person's: of rocks and flowers the network half believes a good deal."""


def others(people: Map, generalists: Map) -> Map:
    """0..1 at the people's size: 1 where a subject is that the people network knows nothing of.

    `generalists` is what any of them sees. Without people everything is theirs.
    """
    height, width = people.shape
    size = size_within(people.shape, SIDE)
    person, rest = roughly(people, *size), roughly(generalists, *size)
    if float(person.max()) < NOBODY or float((person > FIRM).sum()) < MINOR * float(rest.sum()):
        return np.ones_like(people)
    near = disc(max(1, min(size) // REACH))
    somebody = (person > NOBODY).astype(np.uint8)
    apart = ((rest > 0.5) & (cv2.dilate(somebody, near) == 0)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(apart)
    zone = np.zeros_like(apart)
    for index in range(1, count):
        region = labels == index
        if stats[index, cv2.CC_STAT_AREA] >= SIZABLE * somebody.sum() and rest[region].mean() > SURE:
            zone[region] = 1
    if not zone.any():
        return np.zeros_like(people)
    grown = cv2.blur(cv2.dilate(zone, near).astype(np.float32), (3, 3))
    return map_to(np.asarray(grown, np.float32), width, height)


def surroundings(whole: Map) -> Map:
    """The generalist's subject with what touches it: hair that it lost is there, inventions elsewhere are not."""
    height, width = whole.shape
    size = size_within(whole.shape, SIDE)
    grown = cv2.dilate(roughly(whole, *size), disc(max(1, min(size) // TOUCH)))
    return np.asarray(cv2.max(whole, map_to(np.asarray(grown, np.float32), width, height)), np.float32)


def likeness(portrait: Map, whole: Map) -> float:
    """0..1: how far a portrait network, which invents people in everything, may be believed about this subject."""
    whole = map_to(whole, portrait.shape[1], portrait.shape[0])
    return _ramp(overlap(portrait, whole), ALIKE)


def half_seen(portrait: Map, whole: Map) -> float:
    """0..1: how far the generalist's subject is only a part of a person whom the portrait network is surer of."""
    size = size_within(portrait.shape, SIDE)
    person, part = roughly(portrait, *size), roughly(whole, *size)
    area = float(part.sum())
    within = float(cv2.min(person, part).sum()) / area if area else 0.0
    firm = firmness(person)
    return _ramp(within, WITHIN) * _ramp(firm - firmness(part), SURER) * _ramp(firm, BODILY)


def overlap(one: Map, other: Map) -> float:
    """0..1: what both of the same size see, of what either does."""
    union = float(cv2.max(one, other).sum())
    return float(cv2.min(one, other).sum()) / union if union else 0.0


def firmness(alpha: Map) -> float:
    """Share of what is there at all that is firmly there."""
    return float((alpha > FIRM).sum()) / max(1, int((alpha > 1 - FIRM).sum()))


def _ramp(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return float(np.clip((value - low) / (high - low), 0, 1))
