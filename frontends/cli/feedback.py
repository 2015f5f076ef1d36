"""`liity feedback`: feedback on accessibility, through the public API."""

from frontends.cli.commands import Commands
from frontends.cli.session import group
from liity.v1 import feedback_service_pb2

app = group()

_feedback = Commands(app, feedback_service_pb2.DESCRIPTOR.services_by_name["FeedbackService"])
_feedback.add("send", "SendFeedback", ["text"])
_feedback.add("show", "GetFeedback", ["name"])
_feedback.add("answer", "AnswerFeedback", ["name", "answer"])
