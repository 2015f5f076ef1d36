"""A browser without scripts: it keeps cookies, reads forms, and sends them as a person would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2
from typing_extensions import override

from tests.support.http_client import http_client


@dataclass
class HtmlForm:
    """A form of a page: where it goes, what stands in it, and its buttons."""

    action: str
    method: str
    id: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    """The values of radios and checkboxes, by name."""
    buttons: list[tuple[str, str]] = field(default_factory=list)
    """Name and value of each button; empty for one without a name."""


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[HtmlForm] = []
        self.links: list[str] = []
        self.title = ""
        self.text = ""
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.owners: set[str] = set()
        """The forms that buttons and fields elsewhere on the page name as theirs."""
        self._open: HtmlForm | None = None
        self._textarea = ""
        self._skipped = ""
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._skipped = tag if tag in {"script", "style", "title"} else self._skipped
        if "id" in given:
            self.ids.append(given["id"])
        if tag in {"h1", "h2", "h3", "h4"}:
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag == "form":
            self._open = HtmlForm(given.get("action", ""), given.get("method", "get"), given.get("id", ""))
            self.forms.append(self._open)
        if "form" in given:
            self.owners.add(given["form"])
        owner = next((each for each in self.forms if each.id == given.get("form", " ")), self._open)
        if owner is not None:
            self._add(owner, tag, given)

    def _add(self, form: HtmlForm, tag: str, given: Mapping[str, str]) -> None:
        name, value = given.get("name", ""), given.get("value", "")
        if tag == "button" and given.get("type") == "submit":
            form.buttons.append((name, value))
        elif tag == "textarea":
            self._textarea = name
            form.fields[name] = ""
        elif tag == "input" and given.get("type") in {"radio", "checkbox"}:
            form.choices.setdefault(name, []).append(value)
            if "checked" in given:
                form.fields[name] = value
        elif tag in {"input", "select"} and name:
            form.fields[name] = value

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        if tag == self._skipped:
            self._skipped = ""
        if tag == "textarea":
            self._textarea = ""

    @override
    def handle_data(self, data: str) -> None:
        if self._skipped == "title":
            self.title += data
        elif self._textarea and self._open is not None:
            self._open.fields[self._textarea] += data
        elif not self._skipped:
            self.text += data


class Seen:
    """A page as it came."""

    def __init__(self, status: int, url: str, headers: Mapping[str, str], html: str) -> None:
        self.status = status
        self.path = urlsplit(url).path
        self.url = url
        self.headers = headers
        self.html = html
        read = _Reader(html)
        gone = read.owners - {form.id for form in read.forms}
        assert not gone, f"{self.path} has buttons of forms that are not there: {gone}"
        self.forms, self.links, self.title = read.forms, read.links, read.title
        self.text = " ".join(read.text.split())
        self.ids, self.headings = read.ids, read.headings

    @property
    def form(self) -> HtmlForm:
        """The page's main form."""
        return next(form for form in self.forms if form.id == "main-form")

    def form_to(self, action: str) -> HtmlForm:
        """The form that goes to an address."""
        return next(form for form in self.forms if form.action == action)


class Visitor:
    """Somebody at a browser."""

    def __init__(self, base: str, language: str = "en", *, keeps_cookies: bool = True) -> None:
        self.base = base
        self._http = http_client(base, {"Accept-Language": language}, follows=True)
        if not keeps_cookies:
            self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, method: str = "GET", **headers: str) -> Seen:
        """Opens an address."""
        return self._seen(await self._http.request(method, path, headers=headers))

    async def post(
        self,
        path: str,
        fields: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        follow: bool = True,
    ) -> Seen:
        """Sends fields as a form of the same site; without `follow`, opens no page after it."""
        given = {"Sec-Fetch-Site": "same-origin"} if headers is None else dict(headers)
        answer = await self._http.post(path, data=dict(fields), headers=given, follow_redirects=follow)
        return self._seen(answer)

    async def send(
        self,
        form: HtmlForm,
        typed: Mapping[str, str] | None = None,
        button: tuple[str, str] | None = None,
    ) -> Seen:
        """Fills in a form and presses a button: the last of the form unless one is named."""
        name, value = button if button is not None else form.buttons[-1]
        fields = form.fields | dict(typed or {}) | ({name: value} if name else {})
        return await self.post(form.action, fields)

    async def upload(self, form: HtmlForm, content: bytes, file_name: str) -> Seen:
        """Chooses a file in a form, and presses its last button."""
        fields = form.fields | dict(form.buttons[-1:])
        files = {"file": (file_name, content)}
        headers = {"Sec-Fetch-Site": "same-origin"}
        return self._seen(await self._http.post(form.action, data=fields, files=files, headers=headers))

    def forget(self, cookie: str) -> None:
        """Deletes a cookie."""
        self._http.cookies.delete(cookie)

    def _seen(self, answer: httpx2.Response) -> Seen:
        return Seen(answer.status_code, str(answer.url), answer.headers, answer.text)

    async def log_in(self, email: str, password: str) -> Seen:
        """Logs in by the log-in page."""
        page = await self.get("/log-in")
        return await self.send(page.form, {"email": email, "password": password})
