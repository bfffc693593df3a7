"""Foreground colour: what the subject looks like without the light of its old background."""

from __future__ import annotations

import cv2
import numpy as np

from apps.engine.matting import refine

SUBJECT, WALL = (200, 60, 50), (30, 90, 210)


def disc() -> np.ndarray:
    alpha = np.zeros((240, 320), np.uint8)
    cv2.circle(alpha, (160, 120), 70, 255, -1)
    return cv2.GaussianBlur(alpha, (0, 0), 5)


def composite(alpha: np.ndarray) -> np.ndarray:
    part = alpha[..., None] / 255
    return np.rint(part * np.array(SUBJECT) + (1 - part) * np.array(WALL)).astype(np.uint8)


def test_foreground_removes_the_old_background_from_soft_edges() -> None:
    alpha = disc()
    frame = composite(alpha)
    edge = (alpha > 12) & (alpha < 255)

    found = refine.foreground(frame, alpha)

    assert found is not None
    left = np.abs(found[edge].astype(float) - SUBJECT).mean()
    before = np.abs(frame[edge].astype(float) - SUBJECT).mean()
    assert before > 40
    assert left < 10


def test_foreground_leaves_the_inside_alone_and_shows_no_wall_outside() -> None:
    alpha = disc()
    frame = composite(alpha)

    found = refine.foreground(frame, alpha)

    assert found is not None
    assert np.array_equal(found[alpha == 255], frame[alpha == 255])
    assert np.abs(found[alpha == 0].astype(float) - SUBJECT).max() < 40


def test_foreground_does_not_touch_its_input() -> None:
    alpha = disc()
    frame = composite(alpha)
    kept = frame.copy()

    refine.foreground(frame, alpha)

    assert np.array_equal(frame, kept)


def test_foreground_of_nothing_and_of_everything_is_the_frame_itself() -> None:
    frame = np.full((24, 32, 3), 90, np.uint8)

    assert refine.foreground(frame, np.zeros((24, 32), np.uint8)) is None
    assert refine.foreground(frame, np.full((24, 32), 255, np.uint8)) is None


def test_finished_brings_a_small_alpha_to_the_frames_size() -> None:
    frame = np.full((90, 160, 3), 90, np.uint8)
    alpha = np.zeros((32, 32), np.float32)
    alpha[:, 16:] = 1

    matte = refine.finished(frame, alpha)

    assert matte.alpha.shape == (90, 160)
    assert int(matte.alpha[:, :76].max()) == 0
    assert int(matte.alpha[:, 84:].min()) == 255
