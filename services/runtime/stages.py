"""Stages of a registration, grouped: waiting, customership begun, failed, ended."""

from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_MERGED,
    STAGE_RECEIVED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
)

WAITING_FOR_CUSTOMER_SERVICE = (STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK)
"""Customer service must decide (R19, R24)."""

WAITING = (STAGE_WAITING_FOR_CONSENT, *WAITING_FOR_CUSTOMER_SERVICE)
"""A guardian or customer service must decide; the unit may withdraw."""

NOT_BEGUN = (STAGE_RECEIVED, *WAITING)
"""The customership has not begun, but still may."""

BEGUN = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
"""The customership has begun."""

STARTING = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT)
"""The customership has begun; credentials or the welcome are still to come."""

UNFINISHED = (*NOT_BEGUN, *STARTING)
"""Not finished: a person has at most one such registration in force (R18)."""

UNDER_WAY = (*WAITING, *STARTING)
"""Stages of a stored registration that needs a running workflow."""

FAILED = (STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN, STAGE_REJECTED)
"""The registration ended without a customership."""

JOINED = (STAGE_LINKED, STAGE_MERGED)
"""The registration is another one's customer's: the person was a customer already, or was found to be one."""

ENDED = (*FAILED, *JOINED)
"""The registration leads to no customership of its own, or no more."""
