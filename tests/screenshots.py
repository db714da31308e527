"""Take the README's pictures from the running demo: ``make screenshots``."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from support.stage import STRANGER, RunningDemo, Visitor

from sidecar.demo.layout import PEOPLE
from sidecar.rehearsal.browser import chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
AMELIA, OPERATOR, _ = PEOPLE
SIZE = {"width": 1180, "height": 760}


def main() -> None:
    """Play a stranger and the owner, and photograph what each sees."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        chromium() as browser,
        RunningDemo(browser, Path(directory)) as demo,
    ):

        def fresh() -> Visitor:
            return demo.visitor(viewport=SIZE, color_scheme="light")

        def shot(visitor: Visitor, name: str) -> None:
            visitor.page.screenshot(path=str(IMAGES / f"{name}.png"))

        owner = fresh()
        owner.open()
        owner.type_login(AMELIA, int(AMELIA.typist or 0))
        owner.arrived("app")
        owner.page.wait_for_timeout(1500)
        shot(owner, "application")
        stranger = fresh()
        stranger.open()
        shot(stranger, "login")
        stranger.type_login(AMELIA, STRANGER)
        stranger.arrived("otp")
        shot(stranger, "second-factor")
        operator = fresh()
        operator.page.goto(f"{demo.layout.sidecar_url}/operator")
        operator.page.click("a.button")
        operator.page.fill("#username", OPERATOR.username)
        operator.page.fill("#password", OPERATOR.password)
        operator.page.click("#login button[type=submit]")
        operator.page.wait_for_selector("summary")
        operator.page.locator(".decision summary").nth(1).click()
        operator.page.set_viewport_size({"width": 1180, "height": 1000})
        operator.page.mouse.move(0, 0)
        shot(operator, "operator")


if __name__ == "__main__":
    main()
