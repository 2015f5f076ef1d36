"""What happens to a person, by several callers at once: from a Save to edits, moves, ends and a new Save."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo.forms import DemoPerson
from frontends.client import new_request_id
from liity.v1.consent_service_pb2 import DeclineConsentRequest, GetConsentRequestRequest
from liity.v1.customer_form_pb2 import (
    SCHOOL_SUPPORT_PUPIL_SPECIFIC,
    SCHOOL_SUPPORT_UNSPECIFIED,
    CustomerForm,
    PaperConsent,
)
from liity.v1.customer_service_pb2 import (
    END_REASON_OWN_WISH,
    EndCustomershipRequest,
    GetCustomerRequest,
    SearchCustomersRequest,
    SendCredentialsRequest,
    TransferCustomerRequest,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.message_service_pb2 import SendMessageRequest
from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_NOT_REGISTERED,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    ListRegistrationsRequest,
    ReactivateRequest,
    RecordConsentRequest,
    RegisterCustomerRequest,
    RejectRegistrationRequest,
    UpdateRegistrationRequest,
    WithdrawRegistrationRequest,
)
from tests.support.history.records import Mail
from tests.support.registration_forms import date_from_today
from tests.system.failures.chaos.people import People, Unit
from tests.system.failures.chaos.recording import Recording
from tests.system.support.registering import accept_request, adult, link_token, pupil, save_request

_MOMENT = 0.5
"""Seconds between two looks."""

_Act = Callable[[], Awaitable[object]]


class Life:
    """One person. What callers do to them is chosen by `chance`."""

    def __init__(self, people: People, person: DemoPerson, chance: random.Random) -> None:
        self._people = people
        self._person = person
        self._chance = chance
        self._unit = chance.choice(people.units)
        self._edits = 0

    @property
    def code(self) -> str:
        """The personal identity code."""
        return self._person.personal_identity_code

    async def save(self) -> Registration | None:
        """Saves the person in one of several ways; the registration, or None if none stands."""
        self._people.codes[self.code] = self._person.form.first_names
        first = self._saver(self._unit)
        request = self._form_of(self._unit)
        saves = [first.call(first.api.registrations.RegisterCustomer, request, self.code)]
        match self._chance.randrange(10):
            case 0 | 1:
                saves.append(first.call(first.api.registrations.RegisterCustomer, request, self.code))
            case 2 | 3:
                unit = self._chance.choice(self._people.units)
                other = self._saver(unit)
                register = other.api.registrations.RegisterCustomer
                saves.append(other.call(register, self._form_of(unit), self.code))
            case _:
                pass
        answers = [answer for answer in await asyncio.gather(*saves) if answer is not None]
        if not answers:
            return None
        self._unit = self._people.unit(answers[0].registration.name)
        if self._chance.random() < 0.2 and self._unit.name == request.parent:
            await first.call(first.api.registrations.RegisterCustomer, request, self.code)
        return answers[0].registration

    async def check(self) -> CheckPersonalIdentityCodeResponse:
        """Looks the person up from each unit until one has them."""
        others = [unit for unit in self._people.units if unit is not self._unit]
        for unit in (self._unit, *others):
            caller = self._saver(unit)
            request = CheckPersonalIdentityCodeRequest(parent=unit.name, personal_identity_code=self.code)
            found = await caller.call(caller.api.registrations.CheckPersonalIdentityCode, request, self.code)
            if found is not None and (found.customer or found.registration):
                self._unit = unit
                return found
        return CheckPersonalIdentityCodeResponse()

    async def some_of(self, acts: list[_Act], most: int) -> None:
        """Does some of the acts, one after another."""
        for _ in range(self._chance.randint(0, most)):
            await self._chance.choice(acts)()

    async def transfer(self) -> None:
        """One or two units take the person over."""
        takers = self._chance.sample(self._people.units, self._chance.choice([1, 1, 2]))
        await asyncio.gather(*(self._transfer_to(unit) for unit in takers))

    async def write_message(self) -> None:
        """A registrar writes to customer service about the person."""
        found = await self.check()
        if not found.registration:
            return
        caller = self._saver(self._unit)
        request = SendMessageRequest(
            parent=self._unit.name,
            request_id=new_request_id(),
            registration=found.registration,
            text="Milloin tämä on valmis?",
        )
        await self._twice_or_once(lambda: caller.call(caller.api.messages.SendMessage, request, self.code))

    async def _transfer_to(self, unit: Unit) -> None:
        caller = self._saver(unit)
        request = TransferCustomerRequest(
            parent=unit.name, request_id=new_request_id(), personal_identity_code=self.code
        )
        await self._twice_or_once(
            lambda: caller.call(caller.api.customers.TransferCustomer, request, self.code)
        )

    async def _twice_or_once(self, call: _Act) -> None:
        await asyncio.gather(*(call() for _ in range(self._chance.choice([1, 1, 1, 2]))))

    def _saver(self, unit: Unit) -> Recording:
        return self._people.registrar(unit, self._chance)

    def _form_of(self, unit: Unit) -> RegisterCustomerRequest:
        """A Save with a text of its own, by which it is recognised in what is read later."""
        request = save_request(unit.name, self._person)
        request.form.school_support = (
            SCHOOL_SUPPORT_PUPIL_SPECIFIC if unit.school else SCHOOL_SUPPORT_UNSPECIFIED
        )
        request.form.additional_information = self._new_text()
        return request

    def _new_text(self) -> str:
        self._edits += 1
        return f"Lisätieto {self._edits} henkilöstä {self._person.form.first_names}"


class AdultLife(Life):
    """An adult's: a customership begins at once."""

    @classmethod
    def of_somebody(cls, people: People, chance: random.Random) -> "AdultLife":
        """The life of a person nobody knows yet."""
        return cls(people, adult(), chance)

    async def live(self) -> None:
        """From the first Save to what comes at random."""
        if await self.save() is None:
            return
        await self.some_of(
            [self._read, self._edit, self._edit, self.transfer, self._send_credentials, self.write_message], 4
        )
        if self._chance.random() < 0.25:
            await self._end()

    async def _read(self) -> None:
        found = await self.check()
        if found.customer:
            caller = self._saver(self._unit)
            request = GetCustomerRequest(name=found.customer)
            await caller.call(caller.api.customers.GetCustomer, request, self.code)

    async def _edit(self) -> None:
        """One or two registrars edit what each has read."""
        found = await self.check()
        if found.customer:
            unit = self._unit
            editors = self._chance.sample(unit.registrars, self._chance.choice([1, 2]))
            await asyncio.gather(*(self._edit_by(editor, found.customer) for editor in editors))

    async def _edit_by(self, editor: Recording, name: str) -> None:
        read = await editor.call(editor.api.customers.GetCustomer, GetCustomerRequest(name=name), self.code)
        if read is None:
            return
        request = UpdateCustomerRequest(
            name=name,
            request_id=new_request_id(),
            etag=read.customer.etag,
            update_mask=FieldMask(paths=["additional_information"]),
            form=CustomerForm(additional_information=self._new_text()),
        )
        if self._chance.random() < 0.2:
            request.update_mask.paths.append("email")
            request.form.email = f"uusi-{self._edits}-{self._person.email}"
        await self._twice_or_once(
            lambda: editor.call(editor.api.customers.UpdateCustomer, request, self.code)
        )

    async def _send_credentials(self) -> None:
        found = await self.check()
        if found.customer:
            caller = self._saver(self._unit)
            request = SendCredentialsRequest(name=found.customer, request_id=new_request_id())
            await self._twice_or_once(
                lambda: caller.call(caller.api.customers.SendCredentials, request, self.code)
            )

    async def _end(self) -> None:
        """The customership ends, and some come back: by customer service alone, or registered again."""
        found = await self.check()
        if not found.customer:
            return
        caller, staff = self._saver(self._unit), self._people.staff
        request = EndCustomershipRequest(
            name=found.customer, request_id=new_request_id(), reason=END_REASON_OWN_WISH
        )
        await self._twice_or_once(
            lambda: caller.call(caller.api.customers.EndCustomership, request, self.code)
        )
        match self._chance.randrange(4):
            case 0:
                undo = UndoRemovalRequest(name=found.customer, request_id=new_request_id())
                await staff.call(staff.api.customers.UndoRemoval, undo, self.code)
            case 1 | 2:
                await self._register_again()
            case _:
                pass

    async def _register_again(self) -> None:
        self._unit = self._chance.choice(self._people.units)
        saved = await self.save()
        if saved is None:
            return
        registrations, staff = self._people.staff.api.registrations, self._people.staff
        if self._chance.random() < 0.7:
            again = ReactivateRequest(name=saved.name, request_id=new_request_id())
            await self._twice_or_once(lambda: staff.call(registrations.Reactivate, again, self.code))
            await self.some_of([self._read, self._edit, self.transfer], 2)
        else:
            reject = RejectRegistrationRequest(
                name=saved.name, request_id=new_request_id(), note="Ei oikeutta palveluun."
            )
            await self._twice_or_once(lambda: staff.call(registrations.RejectRegistration, reject, self.code))


class ChildLife(Life):
    """A child's, whose guardian is asked."""

    @classmethod
    def of_somebody(cls, people: People, chance: random.Random) -> "ChildLife":
        """The life of a person nobody knows yet."""
        return cls(people, pupil(), chance)

    async def live(self) -> None:
        """From the first Save to an answer, and for some once more."""
        for number in (1, 2):
            saved = await self.save()
            if saved is None or not await self._until_answered(number) or self._chance.random() < 0.5:
                return
            self._unit = self._chance.choice(self._people.units)

    async def _until_answered(self, number: int) -> bool:
        """Whether the registration has ended, so that the child can be registered again."""
        asked = await self._people.mailbox.wait_for(self._person.email, "consent_request", number)
        await self.some_of([self._read, self._edit, self.transfer, self.write_message], 2)
        answers: list[Callable[[], Awaitable[bool]]] = [
            self._record_consent,
            *[self._withdraw] * 3,
            *[lambda: self._decline(asked)] * 3,
            lambda: self._at_once(self._decline(asked), self._accept(asked)),
            lambda: self._at_once(self._withdraw(), self._accept(asked)),
            *[lambda: self._accept(asked)] * 10,
        ]
        # Some guardians do not answer.
        return self._chance.random() > 0.05 and await self._chance.choice(answers)()

    async def _at_once(self, ending: Awaitable[bool], beginning: Awaitable[bool]) -> bool:
        ended, _ = await asyncio.gather(ending, beginning)
        return ended

    async def _accept(self, asked: Mail) -> bool:
        guardians, token = self._people.guardians, link_token(asked)
        shown = GetConsentRequestRequest(token=token)
        await guardians.call(guardians.api.consents.GetConsentRequest, shown, self.code)
        accept = accept_request(token, self._person)
        await self._twice_or_once(
            lambda: guardians.call(guardians.api.consents.AcceptConsent, accept, self.code)
        )
        return False

    async def _decline(self, asked: Mail) -> bool:
        guardians = self._people.guardians
        request = DeclineConsentRequest(token=link_token(asked), request_id=new_request_id())
        decline = guardians.api.consents.DeclineConsent
        declined = await guardians.call(decline, request, self.code) is not None
        return declined and await self._has_ended()

    async def _has_ended(self) -> bool:
        """Whether the registration has ended once the guardian cannot take the decline back any more."""
        while (found := await self.check()).registration:
            if found.standing != STANDING_BEING_REGISTERED:
                return found.standing == STANDING_NOT_REGISTERED
            await asyncio.sleep(_MOMENT)
        return True

    async def _withdraw(self) -> bool:
        found = await self.check()
        caller = self._saver(self._unit)
        if not found.registration:
            return False
        request = WithdrawRegistrationRequest(name=found.registration, request_id=new_request_id())
        withdraw = caller.api.registrations.WithdrawRegistration
        return await caller.call(withdraw, request, self.code) is not None

    async def _record_consent(self) -> bool:
        found = await self.check()
        if found.registration:
            caller = self._saver(self._unit)
            consent = PaperConsent(
                guardian_name=self._person.form.related_person.full_name, sign_date=date_from_today(-1)
            )
            request = RecordConsentRequest(
                name=found.registration, request_id=new_request_id(), consent=consent
            )
            await caller.call(caller.api.registrations.RecordConsent, request, self.code)
        return False

    async def _read(self) -> None:
        found = await self.check()
        if found.registration:
            caller = self._saver(self._unit)
            request = GetRegistrationRequest(name=found.registration)
            await caller.call(caller.api.registrations.GetRegistration, request, self.code)

    async def _edit(self) -> None:
        """One or two registrars edit what each has read."""
        found = await self.check()
        if found.registration:
            unit = self._unit
            editors = self._chance.sample(unit.registrars, self._chance.choice([1, 2]))
            await asyncio.gather(*(self._edit_by(editor, found.registration) for editor in editors))

    async def _edit_by(self, editor: Recording, name: str) -> None:
        read = await editor.call(
            editor.api.registrations.GetRegistration, GetRegistrationRequest(name=name), self.code
        )
        if read is None or not read.etag:
            return
        request = UpdateRegistrationRequest(
            name=name,
            request_id=new_request_id(),
            etag=read.etag,
            update_mask=FieldMask(paths=["additional_information"]),
            form=CustomerForm(additional_information=self._new_text()),
        )
        await self._twice_or_once(
            lambda: editor.call(editor.api.registrations.UpdateRegistration, request, self.code)
        )


async def look_around(people: People, chance: random.Random) -> None:
    """A registrar reads the lists of a unit."""
    unit = chance.choice(people.units)
    caller = people.registrar(unit, chance)
    listing = ListRegistrationsRequest(parent=unit.name, page_size=chance.choice([20, 200]))
    await caller.call(caller.api.registrations.ListRegistrations, listing)
    search = SearchCustomersRequest(parent=unit.name, query=chance.choice(["", "Nimi"]), page_size=100)
    await caller.call(caller.api.customers.SearchCustomers, search)
