"""Figures of how the pages serve: requests, time on a form, what goes wrong in it, and how people found it.

They count pages, not people: nothing in them tells who it was, and no cookie is set for them.
"""

from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "liity_web_requests",
    "Pages shown (GET) and forms sent (POST), by the pattern of the address and the status: of a form,"
    " 422 is one with errors, and 303 one that is done.",
    ["page", "method", "status"],
)
FORM_SECONDS = Histogram(
    "liity_web_form_seconds",
    "Seconds from showing a form to its being sent.",
    ["page", "status"],
    buckets=(5, 15, 30, 60, 120, 300, 600, 1800, 3600),
)
FIELD_ERRORS = Counter("liity_web_field_errors", "Errors shown at a field of a form.", ["page", "field"])
SATISFACTION = Counter(
    "liity_web_satisfaction",
    "Answers to how a task went, from 1 (very hard) to 5 (very easy).",
    ["task", "answer"],
)
