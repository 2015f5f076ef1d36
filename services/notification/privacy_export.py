"""Personal data that notification stores about mail to a person, and why: for access requests."""

from typing import cast

from sqlalchemy import Table

from liity.notification.v1.notification_service_pb2 import DeliveryState
from services.notification.models import Message
from services.runtime.data.privacy import Kind

DELIVERIES = Kind(
    name="deliveries",
    table=cast(Table, Message.__table__),
    purpose="To send each mail once, and to know whether it has gone out. Its text and address are not kept.",
    retention="As long as the person is a customer or is being registered.",
    left_out={
        "request_id": "names a call of the system's own",
        "lease_until": "a lock of the system's own",
        "recipient_digest": "a hash of the address, which the form tells",
        "recipient_key": "a hash of the address, which the form tells",
        "return_secret": "a password of the system's own",
        "settle_time": "of the system's own work",
        "origin": "sealed: by it a mail is sent again, and it tells nothing that the form does not",
        "again_time": "of the system's own work",
    },
    enums={"state": DeliveryState},
)

KINDS = (DELIVERIES,)

NOT_OF_PERSONS = {
    "limits": "counts by a hash of a day and an e-mail address, for that day",
    "book_tips": "of books",
    "book_tips_edits": "of calls that have edited those",
}
"""Tables without data of registered persons, each with the reason."""
