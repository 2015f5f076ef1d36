"""The registration on DBOS with PostgreSQL as its store, written as DBOS's documentation writes applications.

One HTTP server, in whose event loop the workflows run. Liity's own modules check the code and send the mails,
so that what differs is the durable part. Run as a program, it takes the settings of the notification service,
DBOS_SYSTEM_DATABASE_URL, and its port as the argument.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import uvloop
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSConfig, DBOSConfiguredInstance, SetWorkflowID
from google.protobuf.json_format import ParseDict
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.peers.mails import Mails
from deploy.local.ports import HOST
from liity.v1.customer_form_pb2 import CustomerForm
from services.identity import hetu
from services.notification.settings import MailSettings
from services.runtime.clock import helsinki_day, now
from services.runtime.components import stop_requested
from services.runtime.http import serving_http
from services.runtime.settings import load

Form = dict[str, Any]
"""The registration form as JSON: DBOS serializes the arguments of workflows and steps."""

_TWO_WEEKS = timedelta(days=14).total_seconds()
_SAVED = "saved"
"""The event that answers the caller: the stage, or REFUSED."""
_CONSENT = "consent"
_OF_AGE = 15

_TABLE = """
CREATE TABLE IF NOT EXISTS customers (
    customer_id text PRIMARY KEY,
    code text NOT NULL UNIQUE,
    form jsonb NOT NULL,
    stage text NOT NULL,
    user_name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
_STORE = text(
    "INSERT INTO customers (customer_id, code, form, stage, user_name)"
    " VALUES (:customer_id, :code, CAST(:form AS jsonb), :stage, :user_name)"
    " ON CONFLICT (code) DO NOTHING RETURNING customer_id"
)
_ADVANCE = text("UPDATE customers SET stage = :stage WHERE customer_id = :customer_id")
_ERASE = text("DELETE FROM customers WHERE customer_id = :customer_id")


@DBOS.dbos_class()
class Registrations(DBOSConfiguredInstance):
    """The workflows and their steps."""

    def __init__(self, database: AsyncSQLAlchemyDatasource, mails: Mails) -> None:
        super().__init__(config_name="registrations")
        self._database = database
        self._mails = mails

    @DBOS.workflow()
    async def register(self, code: str, form: Form, stage: str) -> str:
        """Registers a person, from Save to the welcome mail two weeks later; returns the last stage."""
        customer_id = DBOS.workflow_id
        if not await self._transact(self._store, customer_id, code, form, stage):
            await DBOS.set_event_async(_SAVED, "REFUSED")
            return "REFUSED"
        if stage == "WAITING_FOR_CONSENT":
            await DBOS.set_event_async(_SAVED, stage)
            await self.request_consent(customer_id, form)
            if not await DBOS.recv_async(_CONSENT, timeout_seconds=_TWO_WEEKS):
                await self._transact(self._erase, customer_id)
                return "LAPSED"
        await self.send_credentials(customer_id, form)
        await self._transact(self._advance, customer_id, "CREDENTIALS_SENT")
        if stage == "ACTIVE":
            await DBOS.set_event_async(_SAVED, "CREDENTIALS_SENT")
        await DBOS.sleep_async(_TWO_WEEKS)
        await self.send_welcome(customer_id, form)
        await self._transact(self._advance, customer_id, "WELCOMED")
        return "WELCOMED"

    @DBOS.workflow()
    async def bare(self) -> None:
        """Answers after one empty step, then waits for two weeks, as the bare engine does."""
        await self.nothing()
        await DBOS.set_event_async(_SAVED, "CREDENTIALS_SENT")
        await DBOS.sleep_async(_TWO_WEEKS)

    @DBOS.step()
    async def nothing(self) -> None:
        """Does nothing."""

    @DBOS.step(retries_allowed=True, max_attempts=10)
    async def request_consent(self, customer_id: str, form: Form) -> None:
        """Mails the guardian."""
        await self._mails.request_consent(ParseDict(form, CustomerForm()), customer_id)

    @DBOS.step(retries_allowed=True, max_attempts=10)
    async def send_credentials(self, customer_id: str, form: Form) -> None:
        """Mails the user name and a link to choose a password."""
        await self._mails.send_credentials(
            ParseDict(form, CustomerForm()), customer_id, _user_name(customer_id)
        )

    @DBOS.step(retries_allowed=True, max_attempts=10)
    async def send_welcome(self, customer_id: str, form: Form) -> None:
        """Mails the welcome."""
        await self._mails.send_welcome(ParseDict(form, CustomerForm()), customer_id)

    async def _transact(self, function: Callable[..., Awaitable[object]], *arguments: object) -> object:
        """Runs a function as a transaction that stores its result too: it is done exactly once."""
        # A unique key guards the table: SERIALIZABLE, the default, would only add retries.
        options = {"isolation_level": "READ COMMITTED"}
        return await self._database.run_tx_step_async(options, function, *arguments)

    async def _store(self, customer_id: str, code: str, form: Form, stage: str) -> bool:
        row = {
            "customer_id": customer_id,
            "code": code,
            "form": json.dumps(form),
            "stage": stage,
            "user_name": _user_name(customer_id),
        }
        stored = await self._database.sql_session().execute(_STORE, row)
        return stored.first() is not None

    async def _advance(self, customer_id: str, stage: str) -> None:
        row = {"customer_id": customer_id, "stage": stage}
        await self._database.sql_session().execute(_ADVANCE, row)

    async def _erase(self, customer_id: str) -> None:
        await self._database.sql_session().execute(_ERASE, {"customer_id": customer_id})


class Server:
    """The HTTP server. A workflow's ID is the caller's request ID: a repeated call starts nothing anew."""

    def __init__(self, registrations: Registrations) -> None:
        self._registrations = registrations

    def application(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/registrations", self._register, methods=["POST"]),
                Route("/registrations/{customer_id}/consent", self._consent, methods=["POST"]),
                Route("/bare", self._bare, methods=["POST"]),
            ]
        )

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        today = helsinki_day(now())
        try:
            code = hetu.parse(body["code"], today=today, allow_artificial=True)
        except hetu.InvalidHetu as invalid:
            return JSONResponse({"error": str(invalid)}, 422)
        stage = "ACTIVE" if _age(code.birth_date, today) >= _OF_AGE else "WAITING_FOR_CONSENT"
        return await self._answer(
            body["request_id"], self._registrations.register, code.code, body["form"], stage
        )

    async def _bare(self, request: Request) -> Response:
        body = await request.json()
        return await self._answer(body["request_id"], self._registrations.bare)

    async def _consent(self, request: Request) -> Response:
        await DBOS.send_async(request.path_params["customer_id"], True, _CONSENT)
        return Response(status_code=204)

    async def _answer(
        self, request_id: str, workflow: Callable[..., Awaitable[object]], *arguments: object
    ) -> Response:
        with SetWorkflowID(request_id):
            handle = await DBOS.start_workflow_async(workflow, *arguments)
        stage = await DBOS.get_event_async(handle.workflow_id, _SAVED)
        if stage is None:
            return JSONResponse({"error": "not saved yet"}, 504)
        return JSONResponse({"stage": stage}, 409 if stage == "REFUSED" else 200)


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _user_name(customer_id: str) -> str:
    return customer_id.replace("-", "")[:12]


async def _serve(database_url: str, port: int) -> None:
    config: DBOSConfig = {"name": "liity-peer", "system_database_url": database_url, "log_level": "ERROR"}
    DBOS(config=config)
    database = await AsyncSQLAlchemyDatasource.create(database_url)
    async with database.engine.begin() as connection:
        await connection.execute(text(_TABLE))
    registrations = Registrations(database, Mails(load(MailSettings)))
    DBOS.launch()
    async with serving_http(Server(registrations).application(), f"{HOST}:{port}"):
        await stop_requested()
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve(os.environ["DBOS_SYSTEM_DATABASE_URL"], int(sys.argv[1])))
