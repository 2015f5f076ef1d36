"""The accessibility statement: its results are those of the pages that there are, and of the last year."""

from datetime import timedelta
from pathlib import Path

from frontends.web import information
from frontends.web.app import PAGES
from frontends.web.information.assessment import last
from services.runtime.clock import helsinki_day, now


def test_its_results_are_of_every_page_that_there_is() -> None:
    """`make accessibility` brings them up to date."""
    results = last()
    assert {*results.tested, *results.untested} == {page.path for page in PAGES if page.show is not None}


def test_it_was_reviewed_within_a_year() -> None:
    assert timedelta(0) <= helsinki_day(now()) - last().reviewed <= timedelta(days=365)


def test_it_says_all_that_the_law_asks() -> None:
    page = (Path(information.__file__).parents[1] / "templates/information/accessibility.html").read_text(
        "utf-8"
    )
    for told in (
        "306/2019",
        "assessed.made",
        "assessed.reviewed",
        "in part",
        "What is not accessible",
        "success criterion",
        "customer service does it with you",
        "How it was assessed",
        'href="/feedback"',
        "config.customer_service_email",
        "within 14 days",
        "Traficom",
    ):
        assert told in page
