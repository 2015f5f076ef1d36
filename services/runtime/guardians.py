"""Numbers of the guardians who are asked for consent (R39), as in the contracts' fields `guardian`."""

FIRST_GUARDIAN, OTHER_GUARDIAN = 1, 2
"""The form's `related_person` and `other_guardian`."""
