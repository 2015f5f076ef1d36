"""Password hashes of little work, for tests that hash hundreds of passwords.

What `liity up` starts and what is fuzzed does all the work; `tests/unit/accounts` has it in numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from argon2.profiles import CHEAPEST

from services.identity.accounts import passwords


@contextmanager
def quick_hashes() -> Iterator[None]:
    """Within it, identity is made with hashes of little work: those of production take 0.2 s of CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "RFC_9106_LOW_MEMORY", CHEAPEST)
        yield
