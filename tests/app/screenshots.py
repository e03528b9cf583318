"""Pictures of the demo's page: `python -m tests.app.screenshots FOLDER [--docs]`.

Light and dark, on a desk and on a phone; --docs writes the one of docs/demo.md alone.
"""

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from eyespot.app.rolled import EXAMPLES
from tests.app.browser import browsing
from tests.app.serving import running

SIZES = {"desk": (1280, 880), "phone": (390, 844)}


def shoot(browser, url, path, size, scheme):
    """Open the page as a new visitor does, and wait until the first example is found."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#sentence")).to_have_text(EXAMPLES[0].text, timeout=30_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, full_page=size == "phone")
    context.close()


def main(folder, *flags):
    with running() as (_, url), browsing() as browser:
        if "--docs" in flags:
            path = Path(folder) / "demo.png"
            shoot(browser, url, path, "desk", "light")
            with Image.open(path) as picture:
                colours = picture.convert("RGB").quantize(256, kmeans=4)  # a third of the size
                picture.convert("RGB").quantize(palette=colours).save(path, optimize=True)
            return
        for size in SIZES:
            for scheme in ("light", "dark"):
                shoot(browser, url, Path(folder) / f"{size}-{scheme}.png", size, scheme)


if __name__ == "__main__":
    main(*sys.argv[1:])
