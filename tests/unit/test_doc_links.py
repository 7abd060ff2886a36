"""Every link of the documentation, and every section that the code cites, exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = sorted(
    path
    for folder in (
        "benchmarks",
        "dashboard",
        "dbt_project",
        "deploy",
        "exports",
        "ingestion",
        "orchestration",
        "paywall_warehouse",
        "sample_data",
        "tests",
        "warehouse",
    )
    for suffix in ("py", "sql", "yml", "yaml")
    for path in (ROOT / folder).rglob(f"*.{suffix}")
    if "target" not in path.parts
)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
CITED = re.compile(r"docs/[\w/-]+\.md(?:#[\w-]+)?")
# As comments cited the specification before it was part of the repository.
NUMBERED = re.compile(r"[Cc]ontract,? (?:section )?\(?[0-9]")


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    found: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = found.get(slug, -1) + 1
        found[slug] = number
        result.add(f"{slug}-{number}" if number else slug)
    return result


def broken(base: Path, link: str, own: Path) -> str | None:
    """Return what is wrong with a relative link, None if it leads somewhere."""
    path, _, anchor = link.partition("#")
    target = (base / path).resolve() if path else own
    if not target.exists():
        return f"{link}: there is no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"{link}: there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    assert [problem for link in links if (problem := broken(page.parent, link, page))] == []


def test_every_section_that_the_code_cites_exists() -> None:
    cited = {
        (str(path.relative_to(ROOT)), link)
        for path in CODE
        for link in CITED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 20
    assert [
        f"{path}: {problem}" for path, link in sorted(cited) if (problem := broken(ROOT, link, ROOT))
    ] == []


def test_the_code_cites_the_contract_by_links() -> None:
    numbered = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in CODE
        if path != Path(__file__) and (found := NUMBERED.search(path.read_text(encoding="utf-8")))
    ]
    assert numbered == []


def test_every_module_that_a_page_runs_and_every_test_file_that_it_names_exists() -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in PAGES}
    modules = {one for text in pages.values() for one in re.findall(r"python -m ([\w.]+)", text)}
    ours = {one for one in modules if (ROOT / one.partition(".")[0]).is_dir()}
    assert "tests.support.stripe_server" in ours
    paths = [ROOT.joinpath(*module.split(".")) for module in ours]
    assert [path for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()] == []
    named = {one for text in pages.values() for one in re.findall(r"\btest_\w+\.py\b", text)}
    assert named - {path.name for path in (ROOT / "tests").rglob("test_*.py")} == set()
