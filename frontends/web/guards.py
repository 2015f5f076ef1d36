"""Who may send a form: only our own pages, shown to this browser."""

import hmac

from starlette.requests import Request

_OWN = frozenset({"same-origin"})


def comes_from_here(request: Request, origin: str) -> bool:
    """Whether a browser says that a request comes from our own pages.

    By `Sec-Fetch-Site`; browsers without it by `Origin`; a request with neither is judged by its form token.
    `Origin` is "null" under some referrer policies, so it is asked second.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in _OWN
    sent = request.headers.get("origin")
    return sent is None or hmac.compare_digest(sent.encode(), origin.encode())
