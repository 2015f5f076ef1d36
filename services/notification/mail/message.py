"""A mail as it goes over the wire (RFC 5322, RFC 2046)."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import UUID

from services.notification.mail.rendering import Rendered
from services.notification.settings import MailSettings
from services.runtime.clock import now

# Seven bits pass every server unchanged, so signatures made on the way stay valid (RFC 6376 5.3).
_POLICY = SMTP.clone(cte_type="7bit")


def build(request_id: UUID, recipient: str, rendered: Rendered, settings: MailSettings) -> EmailMessage:
    """The mail. Sent anew, it has the same Message-ID, so that a reader sees it once."""
    message = EmailMessage(_POLICY)
    message["From"] = Address("Liity", addr_spec=settings.mail_from)
    message["To"] = recipient
    message["Reply-To"] = settings.customer_service_email
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(now())
    message["Message-ID"] = f"<{request_id}@{settings.mail_domain}>"
    # Nobody's holiday answers us (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    # Only now: the parts take every Content- header that is there when they are added.
    message["Content-Language"] = rendered.language
    return message
