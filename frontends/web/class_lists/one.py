"""One class list: how far it has come, its result file, and cancelling it."""

from starlette.responses import Response

from frontends.web.class_lists import files
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_STATE_RECEIVED,
    CLASS_LIST_STATE_RUNNING,
    CancelClassListRequest,
    ClassList,
    GetClassListRequest,
    GetClassListResultRequest,
)

_UNDER_WAY = {CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING}


async def show(visit: Visit) -> Response:
    """How far the list has come."""
    class_list = await _get(visit)
    return visit.render(
        "class_lists/one.html", class_list=class_list, is_under_way=class_list.state in _UNDER_WAY
    )


async def download(visit: Visit) -> Response:
    """What became of each row, as a file."""
    request = GetClassListResultRequest(name=_name(visit))
    found = await visit.call(visit.site.api.class_lists.GetClassListResult, request)
    return files.download(found.content, found.file_name)


async def ask_to_cancel(visit: Visit) -> Response:
    """Tells what stays and what is erased, and asks."""
    class_list = await _get(visit)
    if class_list.state not in _UNDER_WAY:
        return visit.redirect(f"/{_name(visit)}")
    return visit.render("class_lists/cancel.html", class_list=class_list, errors={})


async def cancel(visit: Visit) -> Response:
    """Registers no more of the list."""
    if visit.switches_language:
        return await ask_to_cancel(visit)
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    if visit.typed.get("sure") != "yes":
        errors = {"sure": N_("Choose whether the class list is cancelled.")}
        return visit.render("class_lists/cancel.html", 422, class_list=await _get(visit), errors=errors)
    request = CancelClassListRequest(name=_name(visit), request_id=visit.request_id)
    await visit.call(visit.site.api.class_lists.CancelClassList, request)
    return visit.redirect(f"/{_name(visit)}")


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/classLists/{visit.part('class_list')}"


async def _get(visit: Visit) -> ClassList:
    request = GetClassListRequest(name=_name(visit))
    return (await visit.call(visit.site.api.class_lists.GetClassList, request)).class_list
