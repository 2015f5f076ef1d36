"""Page tokens for lists ordered by a moment and an ID."""

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from liity.v1.reason_pb2 import REASON_INVALID_PAGE_TOKEN
from services.runtime.rpc.errors import FieldViolation, invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Position(NamedTuple):
    """The last row of a page."""

    created_at: datetime
    row_id: str


def encode(position: Position) -> str:
    """The opaque token of a position."""
    fields = [(position.created_at - _EPOCH) // _MICROSECOND, position.row_id]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def decode(page_token: str, id_pattern: str = "[0-9a-f]{32}") -> Position:
    """The position of a token. INVALID_ARGUMENT (INVALID_PAGE_TOKEN) if the token is not ours."""
    try:
        fields = json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True))
        match fields:
            case [int(moment), str(row_id)] if re.fullmatch(id_pattern, row_id):
                return Position(_EPOCH + moment * _MICROSECOND, row_id)
    except (binascii.Error, ValueError, OverflowError, RecursionError):
        pass
    raise invalid([FieldViolation("page_token", REASON_INVALID_PAGE_TOKEN)])
