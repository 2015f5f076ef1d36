"""Shared by starters and workers of workflows: task queues, priority, workflow types, IDs, messages."""

from temporalio.common import Priority

TASK_QUEUE = "registration"
"""The task queue of all workers, except for rows of class lists."""

ROWS_TASK_QUEUE = "class-list-rows"
"""The task queue of batches of class-list rows. A worker takes one at a time, so that Saves come first."""


def behind_saves(unit_id: str | None = None) -> Priority:
    """The priority of runs that no user waits for: class lists and scheduled runs.

    Temporal applies it when tasks are backlogged. Among tasks of the same priority the units take turns.
    """
    return Priority(priority_key=4, fairness_key=unit_id)


class RegistrationWorkflowNames:
    """Names of `RegistrationWorkflow` for its starters, which do not know its code."""

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
        """One execution per person: concurrent Saves of a person meet in it (R18)."""
        return f"registration/{person_id}"


class DisclosureWorkflowNames:
    """Names of `DisclosureWorkflow`."""

    WORKFLOW = "DisclosureWorkflow"

    @staticmethod
    def workflow_id(disclosure_id: str) -> str:
        """One execution per disclosure."""
        return f"disclosure/{disclosure_id}"


class PasswordOrderWorkflowNames:
    """Names of `PasswordOrderWorkflow`."""

    WORKFLOW = "PasswordOrderWorkflow"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per order."""
        return f"password-order/{request_id}"


class TransferWorkflowNames:
    """Names of `TransferWorkflow`."""

    WORKFLOW = "TransferWorkflow"
    TRANSFER = "transfer"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"transfer/{request_id}"


class CredentialsWorkflowNames:
    """Names of `CredentialsWorkflow`."""

    WORKFLOW = "CredentialsWorkflow"
    SEND = "send"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"credentials/{request_id}"


class AddressChangeWorkflowNames:
    """Names of `AddressChangeWorkflow`."""

    WORKFLOW = "AddressChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"address-change/{request_id}"


class ClassListWorkflowNames:
    """Names of `ClassListWorkflow`."""

    WORKFLOW = "ClassListWorkflow"
    CANCEL = "cancel"

    @staticmethod
    def workflow_id(class_list_id: str) -> str:
        """One execution per list."""
        return f"class-list/{class_list_id}"


class RemovalWorkflowNames:
    """Names of `RemovalWorkflow`."""

    WORKFLOW = "RemovalWorkflow"
    END = "end"
    UNDO = "undo"
    RETURNED = "returned"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer: concurrent calls that end the customership meet in it."""
        return f"removal/{customer_id}"


class NeedWorkflowNames:
    """Names of `NeedWorkflow`."""

    WORKFLOW = "NeedWorkflow"
    CHANGED = "changed"
    EXTEND = "extend"

    @staticmethod
    def workflow_id(customer_id: str) -> str:
        """One execution per customer."""
        return f"need/{customer_id}"


class InvitationWorkflowNames:
    """Names of `InvitationWorkflow`."""

    WORKFLOW = "InvitationWorkflow"
    INVITE = "invite"
    WITHDRAW = "withdraw_invitation"
    ACCEPTED = "invitation_accepted"

    @staticmethod
    def workflow_id(invitation_id: str) -> str:
        """One execution per invitation."""
        return f"invitation/{invitation_id}"


class UnitClosingWorkflowNames:
    """Names of `UnitClosingWorkflow`."""

    WORKFLOW = "UnitClosingWorkflow"
    CLOSE = "close"

    @staticmethod
    def workflow_id(unit_id: str) -> str:
        """One execution per unit at a time."""
        return f"unit-closing/{unit_id}"


class PasswordReminderWorkflowNames:
    """Names of `PasswordReminderWorkflow`."""

    WORKFLOW = "PasswordReminderWorkflow"
    SCHEDULE = "password-reminders"


class WorkDigestWorkflowNames:
    """Names of `WorkDigestWorkflow`."""

    WORKFLOW = "WorkDigestWorkflow"
    SCHEDULE = "work-digest"


class ReconciliationWorkflowNames:
    """Names of `ReconciliationWorkflow`."""

    WORKFLOW = "ReconciliationWorkflow"
    SCHEDULE = "reconciliation"


class MessageWorkflowNames:
    """Names of `MessageWorkflow`."""

    WORKFLOW = "MessageWorkflow"
    CLOSED = "closed"

    @staticmethod
    def workflow_id(message_id: str) -> str:
        """One execution per message to customer service."""
        return f"message/{message_id}"


class CodeChangeWorkflowNames:
    """Names of `CodeChangeWorkflow`."""

    WORKFLOW = "CodeChangeWorkflow"
    CHANGE = "change"

    @staticmethod
    def workflow_id(person_id: str) -> str:
        """One execution per person at a time: changes of a person's code run one after another."""
        return f"code-change/{person_id}"


class MergeWorkflowNames:
    """Names of `MergeWorkflow`."""

    WORKFLOW = "MergeWorkflow"
    MERGE = "merge"

    @staticmethod
    def workflow_id(request_id: str) -> str:
        """One execution per call and its repetitions."""
        return f"merge/{request_id}"
