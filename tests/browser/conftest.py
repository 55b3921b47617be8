"""Debian's Chromium, driven by Playwright. `make test-browser` runs these; nothing is downloaded."""

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from cds_service.guidance import Advisor
from tests.sandbox_server import demonstration

SCREENSHOTS = Path(__file__).parent / "screenshots"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (360, 1600)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


class Visitor:
    """A page in a context of its own that remembers everything that went wrong in it."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> Page:
        """Open an address of the service and wait until the chart, if any, is drawn."""
        self.page.goto(self.base + path if path.startswith("/") else path)
        if self.page.locator("#timeline-figure").count() and self._scripts:
            self.page.wait_for_selector("#timeline-chart .main-svg")
        return self.page

    @property
    def _scripts(self) -> bool:
        return self.page.locator(".without-script").count() == 0

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning", "trace"):
            self.faults.append(f"{message.type}: {message.text}")


Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The installed browser."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed (on Debian and Ubuntu: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sandbox(advisor: Advisor) -> Iterator[str]:
    """The demonstration."""
    with demonstration(advisor) as base:
        yield base


@pytest.fixture
def visit(chromium: Browser, sandbox: str) -> Iterator[Visit]:
    """Opens contexts; fails the test when anything in them logged an error or asked elsewhere."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(
        width: int = 1600, scheme: str = "light", base: str = sandbox, **more: Any
    ) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            **more,
        )
        visitor = Visitor(context, base)
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        elsewhere = [u for u in visitor.asked if not u.startswith(("http://127.0.0.1:", "data:"))]
        context.close()
        assert visitor.faults == []
        assert elsewhere == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility engine, as a package of the registry carries it."""
    found = find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, axe: str) -> list[str]:
    """What the engine finds: rule, and the elements that break it."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{v['id']}: {[n['html'][:160] for n in v['nodes'][:4]]}" for v in found]


def picture(page: Page, name: str) -> None:
    """Keep a picture for people to look at; the folder is not part of the repository."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
