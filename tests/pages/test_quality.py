"""The quality report under a result: readable as text, and each moment a link into the video."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.urls import reverse

from apps.jobs.chart import chart
from tests.factories import make_asset, make_job, make_quality

pytestmark = pytest.mark.usefixtures("all_installed")


def report_of(browser, job) -> str:
    page = browser.get(reverse("web:job", args=[job.pk])).content.decode()
    found = re.search(r'<section id="quality".*?</section>', page, re.DOTALL)
    return unescape(found[0]) if found else ""


def test_a_finished_job_tells_its_scores_in_words(alice, browser):
    report = report_of(browser, make_job(alice, status="completed", quality=make_quality()))

    assert "Edge stability" in report
    assert "71" in report
    assert "of 100, fair" in report
    assert "Edges are restless." in report
    assert "The edge flickers." in report
    assert "0:00.5–0:00.9" in report
    assert report.count("<svg") == 3
    assert "No moment stands out." not in report


def test_a_single_frame_is_one_time_and_no_span(alice, browser):
    quality = make_quality()
    quality["edge_stability"]["flags"][0]["end"] = 0.51

    report = report_of(browser, make_job(alice, status="completed", quality=quality))

    assert ">0:00.5</a>" in report
    assert "0:00.5–" not in report


def test_the_record_names_networks_and_weights(alice, browser):
    job = make_job(alice, status="completed", model_version="u2net:int8@0a1b2c3d")

    assert "u2net:int8@0a1b2c3d" in browser.get(reverse("web:job", args=[job.pk])).content.decode()


def test_a_report_without_a_moment_says_so(alice, browser):
    report = report_of(browser, make_job(alice, status="completed", quality=make_quality(flags=0)))

    assert "No moment stands out." in report


def test_a_moment_opens_the_result_there(alice, browser):
    report = report_of(browser, make_job(alice, status="completed", quality=make_quality()))

    (address,) = re.findall(r'href="([^"]+)"', report)
    assert address.startswith("/media/")
    assert address.endswith("#t=0.500")
    assert 'data-seek="0.5"' in report


def test_what_no_browser_plays_is_looked_at_in_the_original(alice, browser):
    """There a trim has moved every moment."""
    job = make_job(alice, status="completed", output_format="mov", quality=make_quality())
    job.options["trim"] = [2.0, 8.0]
    job.save()

    report = report_of(browser, job)

    (address,) = re.findall(r'href="([^"]+)"', report)
    assert "source" in address
    assert address.endswith("#t=2.500")
    assert 'data-offset="2.0"' in report


def test_a_report_outlives_the_files(alice, browser):
    job = make_job(alice, asset=make_asset(alice), status="completed", output_format="mov", quality=make_quality())
    job.asset.file.delete()

    report = report_of(browser, job)

    assert "0:00.5–0:00.9" in report
    assert "href" not in report


def test_without_a_report_there_is_nothing(alice, browser):
    assert report_of(browser, make_job(alice, status="completed")) == ""
    assert report_of(browser, make_job(alice, status="failed")) == ""


def test_where_nothing_could_be_judged_nothing_is_drawn(alice, browser):
    """A line along the top would say that all was fine."""
    unknown = {"score": None, "verdict": "unknown", "words": "There was no subject.", "flags": [], "more_flags": 0}
    measures = dict.fromkeys(("edge_stability", "foreground_integrity", "temporal_consistency"), unknown)
    job = make_job(alice, status="completed", quality={"version": 1, "duration": 0.04, **measures, "timeline": []})

    report = report_of(browser, job)

    assert report.count("There was no subject.") == 3
    assert "<svg" not in report
    assert "No moment stands out." not in report


def test_the_drawing_keeps_to_its_frame():
    report = make_quality(flags=10)

    rows = chart(report)

    corners = [tuple(map(float, pair.split(","))) for pair in rows[0]["line"].split()]
    assert all(0 <= x <= 1000 and 0 <= y <= 40 for x, y in corners)
    # The sixth second is at 60 of 100.
    assert (500.0, 16.0) in corners
    assert [flag["x"] for flag in rows[0]["flags"]] == [f"{n * 100 + 50:.1f}" for n in range(10)]
