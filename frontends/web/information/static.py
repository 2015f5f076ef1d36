"""Pages that only tell something."""

from starlette.responses import Response

from frontends.web.forms import Form
from frontends.web.information import assessment
from frontends.web.pages import View, Visit
from frontends.web.registrations.fields import NEW_CUSTOMER


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
    empty, wrong = Form(NEW_CUSTOMER), Form(NEW_CUSTOMER)
    wrong.values = {"first_names": "عبد الرحمن", "last_name": "Äärimmäisen-Pitkäsukunimi" * 3}
    wrong.errors = {each.path: "Error" for each in wrong.fields}
    wrong.general = ["General error"]
    return visit.render("information/parts.html", empty=empty, wrong=wrong)
