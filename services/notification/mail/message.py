"""Building the e-mail message (RFC 5322, RFC 2046)."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

from services.notification.mail.rendering import Rendered
from services.notification.settings import MailSettings
from services.runtime import mail_policy
from services.runtime.clock import now


def build(request_id: UUID, recipient: str, rendered: Rendered, settings: MailSettings) -> EmailMessage:
    """Builds the message. A repeated mail has the same Message-ID, so that readers see it once."""
    message = EmailMessage(mail_policy.WRITE)
    message["From"] = Address(rendered.sender, addr_spec=settings.mail_from)
    message["To"] = recipient
    message["Reply-To"] = settings.customer_service_email
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(now())
    message["Message-ID"] = f"<{request_id}@{settings.mail_domain}>"
    # Of its own for each mail, so that a mailbox does not fold mails about several children into one.
    message["X-Entity-Ref-ID"] = str(request_id)
    # Prevents automatic replies: RFC 3834, and Exchange, which does not obey it.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    # Set last: the parts take over all Content- headers that exist when they are added.
    message["Content-Language"] = rendered.language
    return message
