"""The pictures of the README, from the sample: `make screenshots`."""

import tempfile
from pathlib import Path
from typing import Literal

from tests.support.browser import Screen, browsing, serving
from tests.support.command import real_command

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# The day of the README's numbers.
AS_OF = "2026-11-24T12:00:00Z"
USER = "usr_e22145d9"
PICTURES: dict[str, tuple[str, Literal["light", "dark"], int]] = {
    "dashboard-overview.png": ("", "light", 1330),
    "dashboard-user.png": (f"user?user={USER}&period=Last+90+days", "dark", 1330),
}
# Charts and fonts are drawn after the page is up.
DRAWN_MS = 1500


def main() -> None:
    """Publish the sample, open the pages, keep what is seen."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        done = real_command(home, "run", "--sample", AS_OF=AS_OF)
        assert done.returncode == 0, done.stderr
        with (
            serving(home, AUTHORIZATION_LINK="https://pay.example/{paywall_id}?user={user_id}") as base,
            browsing() as browser,
        ):
            for name, (path, colours, height) in PICTURES.items():
                context = browser.new_context(
                    viewport={"width": 1500, "height": height}, color_scheme=colours
                )
                screen = Screen(context, base).open(path)
                screen.page.wait_for_timeout(DRAWN_MS)
                screen.page.screenshot(path=IMAGES / name)
                assert (screen.errors(), screen.complaints) == ([], [])


if __name__ == "__main__":
    main()
