"""The command line of `scripts/bench`."""

import argparse
import json
import os
import sys
from pathlib import Path

import report
from environments import EnvironmentFailedError
from part import CHECKOUT, Bench, load, parts, title
from plots import draw

sys.path.append(str(CHECKOUT))  # tests/support starts servers
RESULTS = CHECKOUT / ".local" / "bench" / "results.json"


def main() -> int:
    """Run the parts; print each table as it is found, and keep everything as JSON."""
    known = parts()
    options = parse_options({name: title(path) for name, path in known.items()})
    bench = Bench(options.quick, RESULTS.parent, options.data, not options.no_peers)
    bench.folder.mkdir(parents=True, exist_ok=True)
    for name in [] if options.plots else options.part or list(known):
        print(f"\n== {name}: {title(known[name])}", flush=True)
        record = report.Record(title(known[name]), quick=bench.quick)
        for found in load(name).measure(bench):
            print(report.text(found), flush=True)
            record.add(found)
            report.merge(options.json, {name: record.content})
    if options.document or options.plots:
        report.document(json.loads(options.json.read_text(encoding="utf-8")))
        draw(bench, options.json)
    return 0


def parse_options(titles: dict[str, str]) -> argparse.Namespace:
    """Read the command line."""
    listing = "\n".join(f"  {name:14}{each}" for name, each in titles.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure Ruth AI and its peers side by side on this machine.",
        epilog=f"parts:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", help="what to measure (default: everything)")
    parser.add_argument("--quick", action="store_true", help="once and short, to see that it works")
    parser.add_argument("--no-peers", action="store_true", help="leave out the peers that need packages of their own")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=RESULTS,
        help="where the figures are kept; parts that aren't measured now stay in it (.local/bench/results.json)",
    )
    parser.add_argument("--document", action="store_true", help="then fill docs/benchmarks.md and draw docs/plots")
    parser.add_argument("--plots", action="store_true", help="measure nothing: fill and draw what is known")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("RUTH_TEST_DATA", CHECKOUT.parent / "shared" / "data")),
        help="models and clips (RUTH_TEST_DATA)",
    )
    options = parser.parse_args()
    unknown = set(options.part) - set(titles)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(titles)}")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvironmentFailedError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
