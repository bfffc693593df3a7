"""What is said of work on its way: how much is done, and how long the rest will take."""

from __future__ import annotations

import pytest

from apps.engine import progress
from apps.engine.progress import PROCESSING_SHARE, Meter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_loading_does_not_count_for_the_time_that_is_left(clock):
    meter = Meter(lambda told: None, frames_total=100)
    clock[0] += 60
    assert meter._now().eta_seconds is None
    meter.processed(2, 0.02)
    assert meter._now().eta_seconds is None

    clock[0] += 4
    meter.processed(10, 0.10)

    # 8 hundredths of the frames in 4 s; the proof takes the rest of the whole.
    assert meter._now().eta_seconds == pytest.approx(
        (1 - PROCESSING_SHARE * 0.10) / (PROCESSING_SHARE * 0.08) * 4, abs=0.1
    )
    assert meter._now().frames_done == 10


def test_the_proof_goes_on_from_where_processing_ended(clock):
    meter = Meter(lambda told: None, frames_total=4)
    meter.processed(1, 0.25)
    clock[0] += 30
    meter.processed(4, 1.0)
    clock[0] += 1
    meter.verified(2, 4)

    now = meter._now()

    assert (now.stage, now.percent) == ("verifying", 97.5)
    assert now.eta_seconds is not None
    assert 0 < now.eta_seconds < 2
