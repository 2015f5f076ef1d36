"""Stages of a registration: which wait, which are a customership, which have come to nothing."""

from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_RECEIVED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
)

WAITING_FOR_CUSTOMER_SERVICE = (STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK)
"""Customer service decides first (R19, R24)."""

WAITING = (STAGE_WAITING_FOR_CONSENT, *WAITING_FOR_CUSTOMER_SERVICE)
"""A guardian or customer service decides first; the unit may withdraw."""

NOT_BEGUN = (STAGE_RECEIVED, *WAITING)
"""The customership has not begun, but may."""

BEGUN = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
"""The customership has begun."""

STARTING = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT)
"""The customership has begun, and credentials or the welcome are still to come."""

UNFINISHED = (*NOT_BEGUN, *STARTING)
"""Something is still to come: a person has at most one such registration in force (R18)."""

UNDER_WAY = (*WAITING, *STARTING)
"""Stages of a stored registration of which more is to come: a run must know it."""

FAILED = (STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN, STAGE_REJECTED)
"""The registration came to nothing."""

ENDED = (*FAILED, STAGE_LINKED)
"""No customership has begun by this registration, nor will."""
