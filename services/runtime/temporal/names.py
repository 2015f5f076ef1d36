"""Shared by starters and workers of workflows: task queues, priority, workflow types, IDs, messages."""

from typing import ClassVar

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


class _RunNames:
    """Names of a workflow for its starters, which do not know its code."""

    WORKFLOW: ClassVar[str]
    ID: ClassVar[str]
    """The workflow ID, with the run's key left out: runs of one key meet in one execution."""

    @classmethod
    def workflow_id(cls, key: str) -> str:
        """The workflow ID of a key."""
        return cls.ID.format(key)


class RegistrationWorkflowNames(_RunNames):
    """One execution per person: concurrent Saves of a person meet in it (R18)."""

    WORKFLOW = "RegistrationWorkflow"
    ID = "registration/{}"
    SAVE = "save"
    EDIT = "edit"
    RECORD_CONSENT = "record_consent"
    REMIND_GUARDIAN = "remind_guardian"
    DECLINE_CONSENT = "decline_consent"
    TAKE_BACK_DECLINE = "take_back_decline"
    SEND_CONSENT_LINK = "send_consent_link"
    REPORT_WRONG_RECIPIENT = "report_wrong_recipient"
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
    DISSENT = "dissent"


class DisclosureWorkflowNames(_RunNames):
    """One execution per disclosure."""

    WORKFLOW = "DisclosureWorkflow"
    ID = "disclosure/{}"


class PasswordOrderWorkflowNames(_RunNames):
    """One execution per order."""

    WORKFLOW = "PasswordOrderWorkflow"
    ID = "password-order/{}"


class TransferWorkflowNames(_RunNames):
    """One execution per call and its repetitions."""

    WORKFLOW = "TransferWorkflow"
    ID = "transfer/{}"
    TRANSFER = "transfer"


class CredentialsWorkflowNames(_RunNames):
    """One execution per call and its repetitions."""

    WORKFLOW = "CredentialsWorkflow"
    ID = "credentials/{}"
    SEND = "send"


class AddressChangeWorkflowNames(_RunNames):
    """One execution per call and its repetitions."""

    WORKFLOW = "AddressChangeWorkflow"
    ID = "address-change/{}"
    CHANGE = "change"


class ClassListWorkflowNames(_RunNames):
    """One execution per list."""

    WORKFLOW = "ClassListWorkflow"
    ID = "class-list/{}"
    CANCEL = "cancel"


class RemovalWorkflowNames(_RunNames):
    """One execution per customer: concurrent calls that end the customership meet in it."""

    WORKFLOW = "RemovalWorkflow"
    ID = "removal/{}"
    END = "end"
    UNDO = "undo"
    RETURNED = "returned"


class NeedWorkflowNames(_RunNames):
    """One execution per customer."""

    WORKFLOW = "NeedWorkflow"
    ID = "need/{}"
    CHANGED = "changed"
    EXTEND = "extend"


class InvitationWorkflowNames(_RunNames):
    """One execution per invitation."""

    WORKFLOW = "InvitationWorkflow"
    ID = "invitation/{}"
    INVITE = "invite"
    WITHDRAW = "withdraw_invitation"
    ACCEPTED = "invitation_accepted"


class UnitClosingWorkflowNames(_RunNames):
    """One execution per unit at a time."""

    WORKFLOW = "UnitClosingWorkflow"
    ID = "unit-closing/{}"
    CLOSE = "close"


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


class MessageWorkflowNames(_RunNames):
    """One execution per message to customer service."""

    WORKFLOW = "MessageWorkflow"
    ID = "message/{}"
    CLOSED = "closed"


class FeedbackWorkflowNames(_RunNames):
    """One execution per feedback on accessibility."""

    WORKFLOW = "FeedbackWorkflow"
    ID = "feedback/{}"
    ANSWERED = "answered"


class CodeChangeWorkflowNames(_RunNames):
    """One execution per person at a time: changes of a person's code run one after another."""

    WORKFLOW = "CodeChangeWorkflow"
    ID = "code-change/{}"
    CHANGE = "change"


class MergeWorkflowNames(_RunNames):
    """One execution per call and its repetitions."""

    WORKFLOW = "MergeWorkflow"
    ID = "merge/{}"
    MERGE = "merge"


class MergeUndoWorkflowNames(_RunNames):
    """One execution per call and its repetitions."""

    WORKFLOW = "MergeUndoWorkflow"
    ID = "merge-undo/{}"
    UNDO = "undo"
