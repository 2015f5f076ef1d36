"""Every activity that mails somebody can be repeated to send again what came back, or it is said why not."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import workflows
from workflows import worker

NOT_REPEATED = {
    "create_registration": "stores; its mail is sent again by send_credentials",
    "tell_of_unused_links": "its input is a page of links, and those that were told of stand there no more",
    "end_invitation": "ends it: repeated, it finds nothing to tell of",
    "remind_of_passwords": "has no input to be repeated with",  # pragma: allowlist secret
    "tell_what_is_due": "has no input to be repeated with, and tells again the next day",
    "end_lost_runs": "has no input to be repeated with; its mail goes to customer service",
    "tell_of_returned_mail": "has no input to be repeated with; the address is marked in the work list",
}
"""Activities that are not repeated when a mail of theirs comes back, each with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Named = tuple[str, str]
"""A class, or nothing for a function of a module, and the function's name."""


@dataclass
class Code:
    """The functions of all workflows' code, and what their classes' fields are."""

    functions: dict[Named, Function]
    fields: dict[Named, str]

    @classmethod
    def read(cls) -> "Code":
        code = cls({}, {})
        for folder in workflows.__path__:
            for path in Path(folder).rglob("*.py"):
                module = ast.parse(path.read_text())
                code._add("", module)
                for node in module.body:
                    if isinstance(node, ast.ClassDef):
                        code._add(node.name, node)
        return code

    def _add(self, owner: str, body: ast.Module | ast.ClassDef) -> None:
        for node in body.body:
            if isinstance(node, Function):
                self.functions[owner, node.name] = node
                if node.name == "__init__":
                    self.fields |= dict(_fields(owner, node))

    def called(self, named: Named) -> Iterator[Named]:
        """What a function calls, as far as annotations tell whose it is."""
        function = self.functions[named]
        types = {"self": named[0], **_parameters(function)}
        nodes = list(ast.walk(function))
        # A variable or a parameter may be named as a function elsewhere.
        own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        for node in nodes:
            if isinstance(node, ast.Name) and node.id not in own:
                yield "", node.id
            elif isinstance(node, ast.Attribute):
                yield self._type(node.value, types), node.attr

    def _type(self, value: ast.expr, types: Mapping[str, str]) -> str:
        if isinstance(value, ast.Name):
            return types.get(value.id, "")
        if isinstance(value, ast.Attribute):
            return self.fields.get((self._type(value.value, types), value.attr), "")
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            method = self.functions.get((self._type(value.func.value, types), value.func.attr))
            return ast.unparse(method.returns) if method is not None and method.returns is not None else ""
        return ""


def _parameters(function: Function) -> dict[str, str]:
    return {each.arg: ast.unparse(each.annotation) for each in function.args.args if each.annotation}


def _fields(owner: str, init: Function) -> Iterator[tuple[Named, str]]:
    types = _parameters(init)
    for node in ast.walk(init):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            [target] = node.targets
            if isinstance(target, ast.Attribute) and node.value.id in types:
                yield (owner, target.attr), types[node.value.id]


def _mailing(code: Code) -> set[str]:
    """The activities that mail somebody."""
    calls = {named: set(code.called(named)) for named in code.functions}
    mailing = {named for named, called in calls.items() if any(name == "SendMessage" for _, name in called)}
    before = 0
    while before < len(mailing):
        before = len(mailing)
        mailing |= {named for named, called in calls.items() if called & mailing}
    return {
        named[1]
        for named in mailing
        if any(ast.unparse(each) == "activity.defn" for each in code.functions[named].decorator_list)
    }


def _repeated() -> set[str]:
    """The activities that the worker repeats."""
    for node in ast.walk(ast.parse(Path(worker.__file__).read_text())):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "mailing_steps":
            assert isinstance(node.value, ast.List)
            return {each.attr for each in node.value.elts if isinstance(each, ast.Attribute)}
    raise AssertionError("the worker has no list of mailing steps")


def test_every_activity_that_mails_somebody_is_repeated_or_it_is_said_why_not() -> None:
    mailing, repeated = _mailing(Code.read()), _repeated()
    assert len(repeated) > 40
    assert mailing - repeated == set(NOT_REPEATED)
    assert repeated - mailing == set()
