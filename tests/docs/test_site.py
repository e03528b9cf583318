"""The site: whole, every link checked, every public name in the reference."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eyespot
import eyespot.losses.swav

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import make_reference  # noqa: E402
import make_site  # noqa: E402


@pytest.fixture(scope="module")
def reference():
    return make_reference.reference_pages()


def test_the_site_is_built_without_mistakes(tmp_path, reference):
    pages = make_site.build(tmp_path / "site", reference)
    names = {str(page.relative_to(tmp_path / "site")) for page in pages}
    assert {"README.html", "docs/index.html", "docs/reference/losses.html"} <= names
    index = (tmp_path / "site/docs/index.html").read_text()
    assert '<a href="scale.html"' in index
    assert '<a href="reference/losses.html"' in index
    assert '<link rel="stylesheet" href="../site.css">' in index
    assert (tmp_path / "site/docs/pictures/grounded.png").is_file()
    assert "http" not in index.split("<main>")[0]  # nothing is loaded from elsewhere


@pytest.fixture
def small_guide(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# One\n\n[two](shapes.md#the-letters)\n")
    (docs / "shapes.md").write_text("# Two\n\n## The letters\n\n![p](p.png)\n")
    (docs / "p.png").write_bytes(b"")
    return tmp_path


def test_a_small_guide(small_guide):
    make_site.build(small_guide / "site", {"index.md": "# Reference"}, small_guide)
    page = (small_guide / "site/docs/shapes.html").read_text()
    assert '<h2 id="the-letters">The letters</h2>' in page
    assert (small_guide / "site/docs/p.png").is_file()


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("index.md", "[x](none.md)", "docs/index.md links to none.md, which does not exist"),
        ("index.md", "![x](no.png)", "docs/index.md links to no.png, which does not exist"),
        ("index.md", "[x](shapes.md#letter)", "shapes.md#letter, which has no such heading"),
        ("index.md", "[x](#here)", "docs/index.md links to #here, which has no such heading"),
        ("stray.md", "# Stray", "docs/stray.md is not in the navigation"),
    ],
)
def test_mistakes_are_named(small_guide, file, text, sentence):
    (small_guide / "docs" / file).write_text(text)
    with pytest.raises(ValueError, match=sentence.replace("#", "\\#")):
        make_site.build(small_guide / "site", {"index.md": "# Reference"}, small_guide)
    assert not (small_guide / "site").exists()


def test_the_reference_has_every_public_function_and_class(reference):
    count = 0
    for path in make_reference.SOURCE.rglob("*.py"):
        parts = path.relative_to(make_reference.SOURCE).parts
        if path.name in ("__init__.py", "__main__.py"):
            continue
        page = reference[f"{parts[0]}.md" if len(parts) > 1 else "eyespot.md"]
        for node in ast.parse(path.read_text()).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if public and not any("overload" in ast.unparse(d) for d in node.decorator_list):
                assert f"\n### {make_reference.dotted(path)}.{node.name}\n" in page
                count += 1
    assert count > 500
    for name in eyespot.__all__:
        assert f"`eyespot.{name}` is [eyespot." in reference["eyespot.md"]


def test_a_signature_and_a_docstring_as_markdown(reference):
    text = reference["losses.md"]
    begin = text.index("### eyespot.losses.swav.swapped_prediction_loss")
    shown = text[begin : begin + 1500]
    code = shown.split("```python\n")[1].split("```")[0]
    made = ast.parse(code.strip() + ": ...").body[0]
    real = eyespot.losses.swav.swapped_prediction_loss
    assert [a.arg for a in (*made.args.args, *made.args.kwonlyargs)] == list(real.__annotations__)[
        :-1
    ]
    assert "**Args**\n\n- `scores`: " in shown
    assert "**Raises**\n\n- `ValueError`: " in shown
    assert real.__doc__.split("\n")[0] in shown


def test_the_pictures_are_made_by_the_package(tmp_path):
    subprocess.run([sys.executable, "examples/pictures.py", tmp_path], cwd=ROOT, check=True)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in (ROOT / "docs/pictures").iterdir())
    assert all((tmp_path / name).stat().st_size > 10_000 for name in made)
