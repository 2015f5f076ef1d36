"""Pages that only tell something."""

from starlette.responses import Response

from frontends.web.information import assessment
from frontends.web.information.samples import samples
from frontends.web.pages import View, Visit


def page(name: str) -> View:
    """A page that is only a template."""

    async def view(visit: Visit) -> Response:
        return visit.render(f"information/{name}.html")

    return view


async def accessibility(visit: Visit) -> Response:
    """The accessibility statement, with the results of the last tests."""
    return visit.render("information/accessibility.html", assessed=assessment.last())


async def parts(visit: Visit) -> Response:
    """Every part of the pages in every state: for those who build and test them."""
    return visit.render("information/parts.html", **samples())
