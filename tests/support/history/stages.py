"""Stages change only as docs/rules.md and the life of a registration have it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_MERGED,
    STAGE_RECEIVED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from services.runtime.stages import BEGUN, FAILED, NOT_BEGUN, STARTING
from tests.support.history.records import (
    Act,
    Call,
    History,
    last_part,
    registration_of,
    registrations_in,
    those,
)

_DECIDED = (STAGE_WAITING_FOR_CONSENT, STAGE_ACTIVE, STAGE_REJECTED, STAGE_WITHDRAWN, STAGE_LAPSED)

NEXT: Mapping[Stage.ValueType, tuple[Stage.ValueType, ...]] = {
    STAGE_RECEIVED: (
        STAGE_WAITING_FOR_IDENTITY_CHECK,
        STAGE_WAITING_FOR_REACTIVATION,
        STAGE_WAITING_FOR_CONSENT,
        STAGE_ACTIVE,
    ),
    STAGE_WAITING_FOR_IDENTITY_CHECK: (*_DECIDED, STAGE_LINKED),
    STAGE_WAITING_FOR_REACTIVATION: _DECIDED,
    STAGE_WAITING_FOR_CONSENT: (STAGE_ACTIVE, STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN),
    STAGE_ACTIVE: (STAGE_CREDENTIALS_SENT, STAGE_MERGED),
    STAGE_CREDENTIALS_SENT: (STAGE_WELCOMED, STAGE_MERGED),
    STAGE_WELCOMED: (STAGE_MERGED,),
}
"""The stages that may follow each one directly."""

AFTER_UNDO: Mapping[Stage.ValueType, tuple[Stage.ValueType, ...]] = {
    **NEXT,
    STAGE_WELCOMED: (STAGE_MERGED, *STARTING),
}
"""The same if the end of the customership was undone: a welcome that had not gone out is to come again."""

_SAYS: Mapping[str, tuple[Stage.ValueType, ...]] = {
    "AcceptConsent": BEGUN,
    "RecordConsent": BEGUN,
    "DeclineConsent": (STAGE_WAITING_FOR_CONSENT, STAGE_DECLINED),
    "WithdrawRegistration": (STAGE_WITHDRAWN,),
    "RejectRegistration": (STAGE_REJECTED,),
}
"""The stages that may be seen after an acknowledged act; a decline can be taken back for a while (R38)."""


class _Sight(NamedTuple):
    stage: Stage.ValueType
    began: float
    ended: float
    by: Call
    declined: bool
    """A guardian's decline is about to end it."""


def judge(history: History) -> Iterator[str]:
    """Tells which readers saw a stage that cannot come after one seen before, or after what was done."""
    acts = history.acts_by_person()
    sights = _sights(history)
    undone = {
        registration_of(save) for about in acts.values() if those(about, "UndoRemoval") for save in about
    }
    for registration_id, seen in sights.items():
        table = _reachable(AFTER_UNDO if registration_id in undone else NEXT)
        yield from _in_order(registration_id, seen, table)
    for about in acts.values():
        saves = [save for save in those(about, "RegisterCustomer") if save.acknowledged]
        if len(saves) == 1 and len(those(about, "RegisterCustomer")) == 1:
            yield from _as_done(about, sights[registration_of(saves[0])])


def unfinished(history: History) -> Iterator[str]:
    """Tells which registrations have stopped where nobody is waited for."""
    for registration_id, seen in _sights(history).items():
        last = max(seen, key=lambda sight: sight.began)
        if last.stage in (STAGE_RECEIVED, *STARTING) or (last.stage in NOT_BEGUN and last.declined):
            yield f"registration {registration_id} stands still at {Stage.Name(last.stage)}: {last.by}"


def _sights(history: History) -> dict[str, list[_Sight]]:
    found: dict[str, list[_Sight]] = defaultdict(list)
    for call in history.calls:
        if call.answer is not None:
            for told in registrations_in(call.answer):
                sight = _Sight(told.stage, call.began, call.ended, call, told.HasField("decline_end_time"))
                found[last_part(told.name)].append(sight)
    return found


def _in_order(
    registration_id: str, sights: list[_Sight], table: Mapping[Stage.ValueType, frozenset[Stage.ValueType]]
) -> Iterator[str]:
    """Each sight can follow all that had ended when it began."""
    ended = sorted(sights, key=lambda sight: sight.ended)
    before: dict[Stage.ValueType, _Sight] = {}
    done = 0
    for sight in sorted(sights, key=lambda sight: sight.began):
        while ended[done].ended < sight.began:
            before.setdefault(ended[done].stage, ended[done])
            done += 1
        for stage, earlier in before.items():
            if sight.stage not in table[stage]:
                yield (
                    f"registration {registration_id} went from {Stage.Name(stage)} to"
                    f" {Stage.Name(sight.stage)}: {earlier.by}; {sight.by}"
                )


def _as_done(acts: list[Act], sights: list[_Sight]) -> Iterator[str]:
    for act in acts:
        stages = _SAYS.get(act.rpc)
        for sight in sights:
            begins = those(acts, "AcceptConsent", "RecordConsent") if act.rpc == "DeclineConsent" else ()
            if stages and not begins and act.ended < sight.began and sight.stage not in stages:
                yield f"{Stage.Name(sight.stage)} after it was acknowledged: {act}; {sight.by}"


def _reachable(
    table: Mapping[Stage.ValueType, tuple[Stage.ValueType, ...]],
) -> dict[Stage.ValueType, frozenset[Stage.ValueType]]:
    """The stages that may be seen some time after each one, itself included."""

    def closure(stage: Stage.ValueType) -> frozenset[Stage.ValueType]:
        found: set[Stage.ValueType] = set()
        waiting = [stage]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += table.get(one, ())
        return frozenset(found)

    return {stage: closure(stage) for stage in (*table, *FAILED, STAGE_LINKED, STAGE_MERGED)}
