"""The names that starters and workers of workflows share: task queue, workflow types, IDs, messages."""

TASK_QUEUE = "registration"
"""Where every worker looks for all that is to be done."""


class RegistrationWorkflowNames:
    """What a starter must know of `RegistrationWorkflow`, whose code it does not know."""

    WORKFLOW = "RegistrationWorkflow"
    SAVE = "save"
    EDIT = "edit"
    RECORD_CONSENT = "record_consent"
    DECLINE_CONSENT = "decline_consent"
    WITHDRAW = "withdraw"
    MOVED = "moved"
    ADDRESS_CHANGED = "address_changed"
    CUSTOMERSHIP_ENDED = "customership_ended"
    RESUMED = "resumed"
    REACTIVATE = "reactivate"
    VERIFY_IDENTITY = "verify_identity"
    LINK_TO_CUSTOMER = "link_to_customer"
    REJECT = "reject"
    MAKE_WAY = "make_way"
    MERGED = "merged"
    CONVERT = "convert"
    ADOPT = "adopt"

    @staticmethod
    def workflow_id(person_id: str) -> str:
        """One execution per person: two who save the same person meet in it (R18)."""
        return f"registration/{person_id}"


class DisclosureWorkflowNames:
    """What a starter must know of `DisclosureWorkflow`."""

    WORKFLOW = "DisclosureWorkflow"

    @staticmethod
    def workflow_id(disclosure_id: str) -> str:
        """One execution per disclosure."""
        return f"disclosure/{disclosure_id}"


class PasswordOrderWorkflowNames:
    """What a starter must know of `PasswordOrderWorkflow`."""

    WORKFLOW = "PasswordOrderWorkflow"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per order."""
        return f"password-order/{request_id}"


class TransferWorkflowNames:
    """What a starter must know of `TransferWorkflow`."""

    WORKFLOW = "TransferWorkflow"
    TRANSFER = "transfer"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"transfer/{request_id}"


class CredentialsWorkflowNames:
    """What a starter must know of `CredentialsWorkflow`."""

    WORKFLOW = "CredentialsWorkflow"
    SEND = "send"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"credentials/{request_id}"


class AddressChangeWorkflowNames:
    """What a starter must know of `AddressChangeWorkflow`."""

    WORKFLOW = "AddressChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"address-change/{request_id}"


class ClassListWorkflowNames:
    """What a starter must know of `ClassListWorkflow`."""

    WORKFLOW = "ClassListWorkflow"
    CANCEL = "cancel"

    @staticmethod
    def workflow_id(class_list_id: str) -> str:
        """One execution per list."""
        return f"class-list/{class_list_id}"


class RemovalWorkflowNames:
    """What a starter must know of `RemovalWorkflow`."""

    WORKFLOW = "RemovalWorkflow"
    END = "end"
    UNDO = "undo"
    RETURNED = "returned"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer: two who end the same customership meet in it."""
        return f"removal/{customer_id}"


class NeedWorkflowNames:
    """What a starter must know of `NeedWorkflow`."""

    WORKFLOW = "NeedWorkflow"
    CHANGED = "changed"
    EXTEND = "extend"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer."""
        return f"need/{customer_id}"


class InvitationWorkflowNames:
    """What a starter must know of `InvitationWorkflow`."""

    WORKFLOW = "InvitationWorkflow"
    INVITE = "invite"
    WITHDRAW = "withdraw_invitation"
    ACCEPTED = "invitation_accepted"

    @staticmethod
    def workflow_id(invitation_id: str) -> str:
        """One execution per invitation."""
        return f"invitation/{invitation_id}"


class UnitClosingWorkflowNames:
    """What a starter must know of `UnitClosingWorkflow`."""

    WORKFLOW = "UnitClosingWorkflow"
    CLOSE = "close"

    @staticmethod
    def workflow_id(unit_id: str) -> str:
        """One execution per unit at a time."""
        return f"unit-closing/{unit_id}"


class PasswordReminderWorkflowNames:
    """What a starter must know of `PasswordReminderWorkflow`."""

    WORKFLOW = "PasswordReminderWorkflow"
    SCHEDULE = "password-reminders"


class WorkDigestWorkflowNames:
    """What a starter must know of `WorkDigestWorkflow`."""

    WORKFLOW = "WorkDigestWorkflow"
    SCHEDULE = "work-digest"


class ReconciliationWorkflowNames:
    """What a starter must know of `ReconciliationWorkflow`."""

    WORKFLOW = "ReconciliationWorkflow"
    SCHEDULE = "reconciliation"


class MessageWorkflowNames:
    """What a starter must know of `MessageWorkflow`."""

    WORKFLOW = "MessageWorkflow"
    CLOSED = "closed"

    @staticmethod
    def workflow_id(message_id: str) -> str:
        """One execution per message to customer service."""
        return f"message/{message_id}"


class CodeChangeWorkflowNames:
    """What a starter must know of `CodeChangeWorkflow`."""

    WORKFLOW = "CodeChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(person_id: str) -> str:
        """One execution per person at a time: two who change the same code come one after another."""
        return f"code-change/{person_id}"


class MergeWorkflowNames:
    """What a starter must know of `MergeWorkflow`."""

    WORKFLOW = "MergeWorkflow"
    MERGE = "merge"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"merge/{request_id}"
