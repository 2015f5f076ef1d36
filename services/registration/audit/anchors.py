"""A place in the chain of the log of use, to be kept elsewhere."""

import hashlib
from typing import NamedTuple


class Anchor(NamedTuple):
    """A link's number and hash. Kept elsewhere, it proves that nothing before it was changed."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Anchor":
        """Parses the text that `str` wrote. ValueError if it is malformed."""
        sequence, _, digest = text.partition(":")
        anchor = cls(int(sequence), bytes.fromhex(digest).hex())
        if anchor.sequence < 1:
            raise ValueError("The sequence begins with 1")
        if len(anchor.hash) != 2 * hashlib.sha256().digest_size:
            raise ValueError("The hash has not 64 hexadecimal digits")
        return anchor
