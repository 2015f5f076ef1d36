"""The pages say what their sources say."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from deploy.components import COMPONENTS
from docs.tables import CONTRACTS, DOCS, PAGES
from services.runtime.temporal import names as workflow_names
from workflows.worker import WORKFLOWS

ROOT = DOCS.parent
EVERY_PAGE = sorted(
    [ROOT / "README.md", *(page for page in DOCS.rglob("*.md") if "node_modules" not in page.parts)]
)

SLIDES: Mapping[str, Sequence[str]] = {
    "Aiheet": (
        "Uuden asiakkaan rekisteröinti",
        "Asiakastietojen muokkaus",
        "Ongelmatilanteita rekisteröinnissä",
        "Käytön aloittaminen",
    ),
    "Rekisteröinnin perusteet": (
        "Koulut rekisteröivät henkilöasiakkaaksi oppilaitaan",
        "Kirjastot ja muut yhteisöt rekisteröivät henkilöasiakkaita",
        "Alle 15-vuotiaalta tarvitaan huoltajan suostumus",
        "voivat hoitaa liittymisen itse tai huoltaja voi hoitaa",
        "Tilapäinen asiakas ilmoittaa itse, kun tarve poistunut",
        "www.celianet.fi/usein-kysytyt",
    ),
    "Rekisteröinti käytännössä": (
        "Kirjaudu Celianetiin rekisteröijän tunnuksillasi ja avaa Asiakashallinta",
        "Avaa yksikkö",
        "Tarkista hetulla, onko henkilö jo aiemmin rekisteröity",
        "Avaa linkki ”Lisää uusi asiakas”",
        "Akuutteja viestejä Celialle ei Lisätietoja-kohtaan",
        "Täytä lomake ja paina ”Tallenna”",
    ),
    "Asiakastietojen muokkaus": (
        "voit siirtää tiedot teidän yksikköönne",
        "Voit myös tarkistaa tai muokata asiakkaan tietoja",
        "Voit hakea nimellä",
        "Jos tunnukset pitää lähettää eri sähköpostiin",
    ),
    "Ongelmatilanteita rekisteröinnissä": (
        "Jos ongelmia tulee, ota yhteyttä",
        "Omat rekisteröijän tunnukset hukassa",
        "poistettavaksi merkitty asiakas, Celia voi aktivoida",
        "verkkokäyttäjäksi",
        "Asiakkaalla ei ole hetua",
    ),
    "Käytön aloittaminen": (
        "asiakas pääsee lainauksen ja kuuntelun alkuun",
        "Voit esitellä myös kirjavinkkejä",
        "vaihda s-posti asiakkaalle tai huoltajalle",
        "noin kahden viikon sisällä s-postiviestin uudelle verkkoasiakkaalle",
        "www.celia.fi/yhteystiedot",
    ),
}
"""Every bullet of the webinar, by its key phrase, in the order of the slides."""


def code(folder: str) -> Iterator[str]:
    """The text of every module and contract in a folder."""
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in {".py", ".proto", ".mjs"} and "node_modules" not in path.parts:
            yield path.read_text("utf-8")


def public_rpcs() -> list[MethodDescriptor]:
    """In the order of the contracts."""
    files = FileDescriptorSet.FromString(CONTRACTS.read_bytes()).file
    pool = DescriptorPool()
    for file in files:
        pool.Add(file)
    public = [service for file in files if file.package == "liity.v1" for service in file.service]
    return [
        method for service in public for method in pool.FindServiceByName(f"liity.v1.{service.name}").methods
    ]


def full_names(rpcs: Iterable[MethodDescriptor]) -> set[str]:
    """As pages write them: `AuthService.LogIn`."""
    return {f"{rpc.containing_service.name}.{rpc.name}" for rpc in rpcs}


def anchors(page: Path) -> set[str]:
    """What a link into a page may lead to: its headings, as GitHub makes anchors of them."""
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def shown_rpcs() -> Iterator[tuple[str, str]]:
    """The full name of each RPC that has a section in api.md, with the section."""
    for of_service in re.split(r"^## ", (DOCS / "api.md").read_text("utf-8"), flags=re.MULTILINE):
        service, *sections = re.split(r"^### ", of_service, flags=re.MULTILINE)
        for section in sections:
            yield f"{service.split()[0]}.{section.split()[0]}", section


@pytest.mark.parametrize(("page", "write"), PAGES.items(), ids=lambda value: getattr(value, "stem", ""))
def test_a_page_is_as_it_would_be_written_now(page: Path, write: Callable[[], str]) -> None:
    assert page.read_text("utf-8") == write(), "run python -m docs.tables"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text("utf-8"))
    own = [(page.parent / file if file else page, anchor) for file, anchor in links if "://" not in file]
    assert not [str(file) for file, _ in own if not file.exists()]
    assert not [(str(file), anchor) for file, anchor in own if anchor and anchor not in anchors(file)]


def test_every_public_rpc_is_shown_under_its_service() -> None:
    shown = [name for name, _ in shown_rpcs()]
    assert sorted(shown) == sorted(full_names(public_rpcs()))


def test_every_public_service_is_in_the_table_of_services() -> None:
    listed = re.findall(r"^\| \[`(\w+Service)`\]", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted({rpc.containing_service.name for rpc in public_rpcs()})


def test_every_example_of_the_api_is_one_that_the_contracts_take() -> None:
    rpcs = {name: rpc for rpc in public_rpcs() for name in full_names([rpc])}
    examples = [
        (name, json.loads(example))
        for name, section in shown_rpcs()
        for example in re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    ]
    assert examples
    assert not [(name, example) for name, example in examples if not _is_of(rpcs[name], example)]


def test_every_rpc_named_is_one_that_there_is() -> None:
    """In the pages that people write: the access table is written from the code."""
    texts = [page.read_text("utf-8") for page in EVERY_PAGE if page not in PAGES]
    named = {name for text in texts for name in re.findall(r"`(\w+Service\.\w+)", text)}
    assert named
    assert named <= full_names(public_rpcs())


def test_every_workflow_is_named_and_every_one_named_is_one_that_there_is() -> None:
    workflows = {workflow.__name__ for workflow in WORKFLOWS}
    named = {name for page in EVERY_PAGE for name in re.findall(r"\b\w+Workflow\b", page.read_text("utf-8"))}
    assert named == workflows
    overview = re.findall(r"^\| \[`(\w+)`\]", (DOCS / "architecture.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(overview) == sorted(workflows)


def test_every_signal_that_a_run_takes_is_told() -> None:
    handlers = {
        found
        for text in code("workflows")
        for found in re.findall(r"@workflow\.signal\(name=(\w+)\.(\w+)\)", text)
    }
    assert handlers
    page = (DOCS / "operating.md").read_text("utf-8")
    signals = {getattr(getattr(workflow_names, names), signal) for names, signal in handlers}
    assert not [signal for signal in signals if f"`{signal}`" not in page]


def test_every_variable_named_is_one_that_is_read() -> None:
    """And every one that the commands read stands in a page."""
    settings = set(re.findall(r"^\| `(LIITY_\w+)`", (DOCS / "settings.md").read_text("utf-8"), re.MULTILINE))
    commands = {
        name
        for folder in ("deploy", "frontends")
        for text in code(folder)
        for name in re.findall(r'envvar="(LIITY_\w+)"', text)
    }
    pages = {name for page in EVERY_PAGE for name in re.findall(r"LIITY_\w*[A-Z]\b", page.read_text("utf-8"))}
    # A component's own variable of a setting.
    own = {
        name
        for name in pages
        if re.sub(f"^LIITY_({'|'.join(COMPONENTS)})_", "LIITY_", name, flags=re.IGNORECASE) in settings
    }
    tests = {name for text in code("tests") for name in re.findall(r"environ\S+(LIITY_TEST_\w+)", text)}
    assert tests
    assert commands <= pages <= settings | commands | own | tests


def test_every_rule_the_code_names_stands_in_the_rules() -> None:
    rules = re.findall(r"^- \*\*(R\d+)\*\*", (DOCS / "rules.md").read_text("utf-8"), re.MULTILINE)
    assert len(rules) == len(set(rules)), "a rule stands twice"
    folders = ("protos", "services", "workflows", "frontends", "deploy", "docs")
    named = {rule for folder in folders for text in code(folder) for rule in re.findall(r"\bR\d\d?\b", text)}
    assert named <= set(rules)


def test_codes_are_artificial() -> None:
    texts = [*(page.read_text("utf-8") for page in EVERY_PAGE), *code("docs")]
    codes = {found for text in texts for found in re.findall(r"\b\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]\b", text)}
    assert codes
    assert all(found[7] == "9" for found in codes)


def test_every_promise_names_a_test_that_there_is() -> None:
    promises = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (DOCS / "promises.md").read_text("utf-8"))
    assert promises
    missing = [
        f"{file}::{test}"
        for file, test in promises
        if f"def {test}(" not in _text_of(ROOT / file) and (test or not _text_of(ROOT / file))
    ]
    assert not missing


def test_every_row_of_the_practice_names_what_there_is() -> None:
    rows = [row for of_slide in _practice().values() for row in of_slide] + _ordinary_life()
    names = {name for row in rows for name in re.findall(r"`([\w.]+)`", row[2])}
    assert names <= full_names(public_rpcs())
    assert {workflow for row in rows for workflow in re.findall(r"`(\w+)`", row[3])} <= {
        workflow.__name__ for workflow in WORKFLOWS
    }
    tests = [re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[4]) for row in rows]
    assert all(tests)
    assert not [test for row in tests for file, test in row if f"def {test}(" not in _text_of(ROOT / file)]


def test_every_reported_case_has_its_tests_and_no_test_names_another() -> None:
    rows = _rows(_practice_page()[2])
    tests = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3]) for row in rows]
    assert all(tests)
    assert not [test for row in tests for file, test in row if f"def {test}(" not in _text_of(ROOT / file)]
    numbers = [int(row[0]) for row in rows]
    assert numbers == sorted(set(numbers))
    for path in (ROOT / "tests").rglob("*.py"):
        for named in re.findall(r"\bCases? ((?:\d+(?:, | and )?)+)[^\d]", path.read_text("utf-8")):
            assert {int(number) for number in re.findall(r"\d+", named)} <= set(numbers), path


def test_every_bullet_of_the_webinar_has_a_row() -> None:
    rows = _practice()
    assert list(rows) == list(SLIDES)
    for slide, bullets in SLIDES.items():
        found = [row[0] for row in rows[slide]]
        missing = [bullet for bullet in bullets if not any(bullet in cell for cell in found)]
        assert not missing, slide
        assert len(found) == len(bullets), slide


def _practice() -> dict[str, list[list[str]]]:
    """The rows of the table in practice.md, by slide."""
    rows: dict[str, list[list[str]]] = {}
    for line in _practice_page()[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| **"):
            of_slide = rows[cells[0].strip("*")] = []
        elif line.startswith("| ") and rows:
            of_slide.append(cells)
    return rows


def _ordinary_life() -> list[list[str]]:
    """The rows of the second table in practice.md."""
    return _rows(_practice_page()[1])


def _rows(page: str) -> list[list[str]]:
    """The cells of a page's only table."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def _practice_page() -> list[str]:
    """The page up to the second table, from there to the third one, and from there on."""
    return re.split("## Ordinary life|## Reported cases", (DOCS / "practice.md").read_text("utf-8"))


def _is_of(rpc: MethodDescriptor, example: object) -> bool:
    """Whether an example is a request or an answer of an RPC."""
    for message in (rpc.input_type, rpc.output_type):
        try:
            ParseDict(example, GetMessageClass(message)())
        except ParseError:
            continue
        return True
    return False


def _text_of(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""
