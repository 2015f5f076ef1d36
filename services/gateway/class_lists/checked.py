"""A checked class list: wrong rows, rows of known persons, and customers who are gone (R41)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from liity.registration.v1.class_list_service_pb2 import CheckClassListResponse, RowStanding
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_OUTCOME_ELSEWHERE,
    CLASS_LIST_OUTCOME_TRANSFERRED,
    CLASS_LIST_OUTCOME_YOURS,
    ClassListConsequences,
    ClassListGone,
    ClassListOutcome,
    ClassListPerson,
    ClassListReport,
    ClassListStandings,
)
from liity.v1.reason_pb2 import Reason
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_WAITING_FOR_CONSENT
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
)
from services.gateway.class_lists.columns import CODE
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.runtime.rpc.errors import FieldViolation


@dataclass
class Checked:
    """What a check has found. Rows are named by their numbers."""

    unit_id: str = ""
    wrong: dict[int, Sequence[FieldViolation]] = field(default_factory=dict)
    """The errors of wrong rows."""
    known: dict[int, RowStanding] = field(default_factory=dict)
    """Where the persons of right rows stand who are known already."""
    found: CheckClassListResponse = field(default_factory=CheckClassListResponse)
    """The answer of registration: who is gone, and what registering would do."""
    transferred: set[int] = field(default_factory=set)
    """Rows whose persons were transferred to the unit."""

    @property
    def transferable(self) -> set[int]:
        """Rows of persons who are another unit's."""
        return {number for number, standing in self.known.items() if not _is_own(standing)}

    def refuse(self, number: int, reason: Reason.ValueType) -> None:
        """Makes the row of a known person a wrong one."""
        del self.known[number]
        self.wrong[number] = [FieldViolation(CODE, reason)]

    def outcome(self, number: int) -> ClassListOutcome.ValueType:
        """What becomes of the row of a known person."""
        if number in self.transferred:
            return CLASS_LIST_OUTCOME_TRANSFERRED
        own = _is_own(self.known[number])
        return CLASS_LIST_OUTCOME_YOURS if own else CLASS_LIST_OUTCOME_ELSEWHERE

    def add_to(self, report: ClassListReport) -> None:
        """Adds to a report who is new, known and gone."""
        standings = [standing.standing for standing in self.known.values()]
        report.standings.CopyFrom(
            ClassListStandings(
                new=report.row_count - report.wrong_row_count - len(standings),
                in_this_unit=standings.count(STANDING_REGISTERED_IN_THIS_UNIT),
                in_another_unit=standings.count(STANDING_REGISTERED_IN_ANOTHER_UNIT),
                being_registered=standings.count(STANDING_BEING_REGISTERED),
            )
        )
        report.consequences.CopyFrom(self._consequences())
        report.persons.extend(self._person(number) for number in sorted(self.known))
        report.gone.extend(
            ClassListGone(
                customer=CUSTOMER.format(self.unit_id, gone.customer_id), display_name=gone.display_name
            )
            for gone in self.found.gone
        )
        if self.found.HasField("earlier_list_time"):
            report.earlier_list_time.CopyFrom(self.found.earlier_list_time)

    def _consequences(self) -> ClassListConsequences:
        told = ClassListConsequences()
        for each in self.found.consequences:
            if each.row_number in self.wrong:
                continue
            if each.stage == STAGE_ACTIVE:
                told.customers += 1
                told.credentials_mails += each.mails
            elif each.stage == STAGE_WAITING_FOR_CONSENT:
                told.waiting_for_consent += 1
                told.consent_requests += each.mails
            else:
                told.waiting_for_identity_check += 1
        return told

    def _person(self, number: int) -> ClassListPerson:
        standing = self.known[number]
        customer, registration = standing.customer_id, standing.registration_id
        return ClassListPerson(
            row=number,
            standing=standing.standing,
            customer=CUSTOMER.format(self.unit_id, customer) if customer else "",
            registration=REGISTRATION.format(self.unit_id, registration) if registration else "",
            transferable=not _is_own(standing),
        )


def _is_own(standing: RowStanding) -> bool:
    """Whether a known person is the unit's: its customer, or being registered by it."""
    return bool(standing.customer_id or standing.registration_id)
