"""``score TARGET FILE --into OUT``: a service's answers to the rows of a file, without HTTP."""

import argparse
import sys
from pathlib import Path

SUMMARY = "score the rows of a parquet or CSV file with a service, or a model of the store"
EXTRAS = ["batch"]
ENGINES = ["pyarrow", "duckdb", "ray"]

EXAMPLES = """
for example:
  python3 -m helpers score digits:prod images.parquet --into scored.parquet
  python3 -m helpers score shop:Recommender orders.csv --into scored.csv --errors keep
  python3 -m helpers score shop:Recommender orders.parquet --compare

A column goes to the parameter (or the table's column, or the model's input) of its name; a tensor
with further axes takes a column of lists. A run that was stopped or killed goes on when it is
started again. The output without an ending is a folder of parquet files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("target", metavar="TARGET", help="module:Service, or a tag: digits, digits:2")
    parser.add_argument("file", type=Path, metavar="FILE", help="a .parquet or .csv file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--into", type=Path, metavar="OUT", help="a .parquet or .csv file, or a folder")
    what.add_argument(
        "--compare", action="store_true", help="score with each engine that is installed, and print rows per second"
    )
    parser.add_argument("--with", dest="engine", choices=ENGINES, default="pyarrow", help="default: pyarrow")
    parser.add_argument("--api", metavar="NAME", help="the method, if several take rows")
    parser.add_argument("--batch", type=_positive, metavar="N", help="rows in a call; default: 1024")
    parser.add_argument(
        "--errors",
        choices=["stop", "keep"],
        default="stop",
        help="of a row without an answer: stop there (default), or keep it with its error in a column of its own",
    )
    parser.add_argument("--anew", action="store_true", help="drop what a run before has begun")


def run(arguments: argparse.Namespace) -> int:
    from helpers.deploy.scoring import Job, score
    from helpers.deploy.scoring.comparison import compare
    from helpers.deploy.scoring.parts import Parts
    from helpers.text_table import aligned

    job = Job(
        target=arguments.target,
        file=arguments.file,
        into=arguments.into or Path(),
        engine=arguments.engine,
        batch=arguments.batch,
        keep_errors=arguments.errors == "keep",
        api=arguments.api,
    )
    if arguments.compare:
        print(aligned(["engine", "rows/s", "seconds", "answers"], compare(job, ENGINES)))
        return 0
    try:
        done = score(job, arguments.anew)
    except KeyboardInterrupt:
        kept = f"{Parts(job.into).kept():,} rows are scored and kept"
        print(f"\nservelab: Stopped; {kept}. Run the same command again to go on.", file=sys.stderr)
        return 130
    print(f"{done.into}: {done.rows:,} rows, {done.bad:,} of them with an error; {done.scored_now:,} scored now")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number
