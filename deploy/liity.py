"""`liity`: the one program."""

import contextlib
import os
import signal
import sys

from typer.core import TyperGroup

from deploy.lazy import LazyCommand

COMMANDS = (
    LazyCommand(
        "up",
        "deploy.local.commands",
        "Starts everything here, shows the main job, and stays up until Ctrl-C.",
    ),
    LazyCommand(
        "serve",
        "deploy.admin.serve",
        "Serves components until SIGTERM or SIGINT. Their settings come from the environment.",
    ),
    LazyCommand(
        "migrate", "deploy.admin.migrate", "Brings the database of a component to its newest revision."
    ),
    LazyCommand(
        "demo",
        "deploy.demo.commands",
        "Shows the main job on the stack of a folder. Ends non-zero if a step is not as it should be.",
    ),
    LazyCommand(
        "validate",
        "deploy.demo.validate",
        "Proves that a trial installation works: a Save, a consent and their mails.",
    ),
    LazyCommand(
        "account", "frontends.cli.account", "Your own account: show, order-password, choose-password."
    ),
    LazyCommand(
        "audit",
        "frontends.cli.audit",
        "The log of use: search, suspicions, verify, restored.",
        within=[
            LazyCommand(
                "verify",
                "deploy.admin.audit_chain",
                "Proves that no entry was changed or taken away, or names the first broken link.",
            ),
            LazyCommand(
                "restored",
                "deploy.admin.audit_restore",
                "Enters in the log of use that a restored backup has cut off its end.",
            ),
        ],
    ),
    LazyCommand("book-tips", "frontends.cli.book_tips", "Book tips of the welcome mail: show, edit."),
    LazyCommand(
        "erasure",
        "deploy.admin.erasure_commands",
        "Erases again whom a restored backup has brought back: reapply.",
    ),
    LazyCommand(
        "reconcile",
        "deploy.admin.reconcile_commands",
        "Checks what must hold between rows, runs and the erasure ledger; with --fix, repairs it.",
    ),
    LazyCommand("keys", "deploy.admin.key_commands", "Key files: create, show, rotate, re-encrypt, retire."),
    LazyCommand(
        "customers",
        "frontends.cli.customers",
        "Customers: check, search, show, edit, transfer, send-credentials, end;"
        " for customer service undo-removal, set-code, merge, to-online.",
    ),
    LazyCommand(
        "registrations",
        "frontends.cli.registrations",
        "Registrations: form, save, list, show, edit, explain, consent, withdraw;"
        " for customer service reactivate, verify, link, reject.",
    ),
    LazyCommand(
        "class-lists",
        "frontends.cli.class_lists",
        "Class lists: template, check, register, list, show, result, cancel.",
    ),
    LazyCommand("disclosures", "frontends.cli.disclosures", "Exports for access requests: create, save."),
    LazyCommand(
        "links",
        "frontends.cli.links",
        "What a mailed link opens, without an account: consent, customership, invitation,"
        " choose-password, confirm-email.",
    ),
    LazyCommand(
        "temporal",
        "deploy.admin.temporal",
        "Sets up Temporal's namespace, before the first start and with each new release: prepare.",
    ),
    LazyCommand("units", "frontends.cli.units", "Units: list, create, show, edit, close."),
    LazyCommand(
        "registrars", "frontends.cli.registrars", "Registrars of a unit: list, invite, role, remove."
    ),
    LazyCommand(
        "staff", "deploy.admin.staff_commands", "Accounts of customer service and operators: create."
    ),
    LazyCommand(
        "messages",
        "frontends.cli.messages",
        "Messages to customer service: list, show, find, send, close.",
    ),
    LazyCommand(
        "feedback",
        "frontends.cli.feedback",
        "Feedback on accessibility: send, without an account; for customer service show, answer.",
    ),
    LazyCommand(
        "work",
        "frontends.cli.worklist",
        "The work list of customer service: list, show, claim, release, dismiss.",
    ),
)

PROGRAM = TyperGroup(
    name="liity",
    help="The registration system of a national accessibility library.",
    commands=COMMANDS,
    no_args_is_help=True,
)


def main() -> None:
    """The program. It ends without the interpreter's own end, which now and then aborts it."""
    _take_interrupts()
    try:
        PROGRAM()
    except SystemExit as ended:
        # Threads of Temporal's client still wake up then: "PyGILState_Release: thread state must be current".
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take_interrupts() -> None:
    """Takes SIGINT also where a shell has started the program in the background, with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
