"""`liity work`: the work list of customer service, through the public API."""

from pathlib import Path
from typing import Annotated

import typer

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.session import AsJson, call, group
from frontends.client import ApiClient, new_request_id
from liity.v1 import work_service_pb2
from liity.v1.work_service_pb2 import ReportDeliveryRequest, ReportDeliveryResponse

app = group()

_work = Commands(app, work_service_pb2.DESCRIPTOR.services_by_name["WorkService"])
_work.add("list", "ListWorkItems", options={"kinds": "kind"}, switches=["claims"])
_work.add("figures", "GetFigures")
_work.add("show", "GetWorkItem", ["name"])
_work.add("claim", "ClaimWorkItem", ["name"])
_work.add("release", "ReleaseWorkItem", ["name"], done="It is free for others.")
_work.add("acknowledge", "AcknowledgeDissent", ["name"], done="It is known: the item does not come back.")
_work.add("dismiss", "DismissDuplicate", ["name"], done="They are two persons: the pair does not come back.")


@app.command("report-mail")
def report_mail(
    context: typer.Context,
    report: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The report, a whole mail (RFC 3464).")
    ] = None,
    message_id: Annotated[str, typer.Option(help="Or the Message-ID of the mail that came back.")] = "",
    status: Annotated[str, typer.Option(help="With it: why, such as 5.1.1 for no such address.")] = "",
    as_json: AsJson = False,
) -> None:
    """Reports a mail that did not arrive after a mail server had taken it."""
    if (report is None) == (not message_id):
        raise typer.BadParameter("Give either --report or --message-id.")
    request = ReportDeliveryRequest(request_id=new_request_id(), status=status)
    if report is not None:
        request.raw_report = report.read_bytes()
    else:
        request.message_id = message_id

    async def send(api: ApiClient) -> ReportDeliveryResponse:
        return await api.call(api.work.ReportDelivery, request)

    render.show(call(context.obj, send), as_json=as_json)
