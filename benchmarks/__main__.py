"""Everything that is measured of speed, part by part, as one report: ``python -m benchmarks``, or ``make bench``.

Each part is a program of its own, and may be run alone: ``python -m benchmarks.peers --help``. Figures are printed as
they come; those of the documentation, and its drawings, are made anew where a part keeps some there.
"""

import argparse
import platform
import subprocess
import sys
import time

PARTS = {
    "Beside every other way to the same answer": "peers",
    "The embedded engine": "embedded",
    "Many questions at the same time": "many_questions",
    "What SoTChain costs beside LangChain's own ways": "langchain_overhead",
    "Stragglers, hedged": "hedging",
    "Endpoints that refuse": "goodput",
}


def main() -> int:
    """Run all parts, or those that are named; the result is how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS.values())} (default: all)")
    wanted = parser.parse_args().parts
    if unknown := set(wanted) - set(PARTS.values()):
        parser.error(f"there is no part {sorted(unknown)[0]!r}: choose from {', '.join(PARTS.values())}")
    print(f"# Benchmarks\n\nPython {platform.python_version()} on {platform.machine()}")
    failed = []
    for title, part in PARTS.items():
        if wanted and part not in wanted:
            continue
        print(f"\n## {title}\n\n`python -m benchmarks.{part}`\n", flush=True)
        began = time.perf_counter()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], check=False).returncode:  # noqa: S603 -- ours
            failed.append(part)
        print(f"\n{time.perf_counter() - began:.0f} seconds", flush=True)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
