"""Where figures go in the documentation: between two marks of a page, and nowhere else."""

import re
from pathlib import Path


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``, if there is such a page.

    Raises:
        ValueError: the page lacks the marks.
    """
    if not page.exists():
        return
    told = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in told or end not in told:
        raise ValueError(f"{page} lacks the marks for {name!r}")
    between = re.compile(f"(?<={re.escape(begin)}).*(?={re.escape(end)})", re.DOTALL)
    page.write_text(between.sub(lambda _: f"\n{text.strip()}\n\n", told), encoding="utf-8")
