"""Resource names (AIP-122): formatting and parsing."""

import re

from liity.v1.reason_pb2 import REASON_INVALID_FORMAT
from services.runtime.rpc.errors import FieldViolation, invalid

_VARIABLE = re.compile(r"\{[a-z_]+\}")
_ID = "([a-z0-9]{1,32})"


class ResourceName:
    """The names of one kind of resource: a pattern such as `units/{unit}/customers/{customer}`."""

    def __init__(self, pattern: str, one_id: str = _ID) -> None:
        self._format = _VARIABLE.sub("{}", pattern)
        self._regex = re.compile(_VARIABLE.sub(lambda _: one_id, pattern))

    def format(self, *ids: str) -> str:
        """The name for these IDs."""
        return self._format.format(*ids)

    def parse(self, name: str, field: str = "name") -> tuple[str, ...]:
        """The IDs in a name. INVALID_ARGUMENT, naming the request's field, if it is not of this kind."""
        match = self._regex.fullmatch(name)
        if match is None:
            raise invalid([FieldViolation(field, REASON_INVALID_FORMAT)])
        return match.groups()

    def parse_id(self, name: str, field: str = "name") -> str:
        """The only ID in a name."""
        (only,) = self.parse(name, field)
        return only

    def matches(self, name: str) -> bool:
        """Whether a name is of this kind."""
        return self._regex.fullmatch(name) is not None


UNIT = ResourceName("units/{unit}")
ALL_UNITS = "units/-"
"""In the place of a unit where customer service may ask about all (AIP-159)."""

REGISTRATION = ResourceName("units/{unit}/registrations/{registration}")
CUSTOMER = ResourceName("units/{unit}/customers/{customer}")
CLASS_LIST = ResourceName("units/{unit}/classLists/{class_list}")
MESSAGE = ResourceName("units/{unit}/messages/{message}")
REGISTRAR = ResourceName("units/{unit}/registrars/{registrar}")
DISCLOSURE = ResourceName("disclosures/{disclosure}")
FEEDBACK = ResourceName("feedback/{feedback}")
WORK_ITEM = ResourceName("workItems/{work_item}", "([a-z0-9-]+)")
