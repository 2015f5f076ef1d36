"""Spreading what falls due for many at one moment."""

import hashlib
from datetime import timedelta

_BYTES = 8


def own_share(spread: timedelta, of: str) -> timedelta:
    """How much later than the common moment something is due for one ID: always the same part of `spread`.

    In whole seconds, from zero up to but not including `spread`; evenly distributed over IDs.
    """
    fraction = int.from_bytes(hashlib.sha256(of.encode()).digest()[:_BYTES]) / 2 ** (8 * _BYTES)
    return timedelta(seconds=int(spread.total_seconds() * fraction))
