"""References that customer service types."""

import pytest

from frontends.web.worklist.finding import is_of_feedback


@pytest.mark.parametrize(
    ("reference", "of_feedback"),
    [
        ("P7K3M92QF", True),
        ("LP7K392QF", False),
        ("P7K392QF", False),
        ("7K3M92QF", False),
        ("PPPPPPPPPP", False),
    ],
)
def test_a_message_whose_reference_begins_like_feedbacks_is_a_message(
    reference: str, *, of_feedback: bool
) -> None:
    assert is_of_feedback(reference) is of_feedback
