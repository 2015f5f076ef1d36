"""`liity.v1.BookTipsService`: the book tips that customer service edits (R28)."""

import grpc
from typing_extensions import override

from liity.notification.v1 import notification_service_pb2 as notification_pb2
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.v1.book_tips_service_pb2 import (
    GetBookTipsRequest,
    GetBookTipsResponse,
    UpdateBookTipsRequest,
    UpdateBookTipsResponse,
)
from liity.v1.book_tips_service_pb2_grpc import BookTipsServiceServicer
from services.runtime.rpc.peer import Peer


class BookTipsService(BookTipsServiceServicer):
    """Reads and replaces book tips, which the notification service keeps."""

    def __init__(self, notification: Peer) -> None:
        self._notification = notification
        self._notifications = NotificationServiceStub(notification.channel)

    @override
    async def GetBookTips(
        self,
        request: GetBookTipsRequest,
        context: grpc.ServicerContext,
    ) -> GetBookTipsResponse:
        """Reads the tips in one language."""
        get = notification_pb2.GetBookTipsRequest(name=request.name)
        answer = await self._notification.call(self._notifications.GetBookTips, get)
        return GetBookTipsResponse(book_tips=answer.book_tips)

    @override
    async def UpdateBookTips(
        self,
        request: UpdateBookTipsRequest,
        context: grpc.ServicerContext,
    ) -> UpdateBookTipsResponse:
        """Replaces the tips in one language."""
        update = notification_pb2.UpdateBookTipsRequest(
            request_id=request.request_id, book_tips=request.book_tips
        )
        answer = await self._notification.call(self._notifications.UpdateBookTips, update)
        return UpdateBookTipsResponse(book_tips=answer.book_tips)
