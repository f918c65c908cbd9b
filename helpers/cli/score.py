"""``score TARGET FILE --into OUT``: a service's answers to the rows of a file, without HTTP."""

import argparse
import sys
from pathlib import Path

from helpers.cli.targets import expect_target

SUMMARY = "score the rows of a parquet or CSV file with a service, or a model of the store"
EXTRAS = ["batch"]
ENGINES = ["pyarrow", "duckdb", "ray"]

EXAMPLES = """
for example:
  python3 -m helpers score digits:prod images.parquet --into scored.parquet
  python3 -m helpers score shop:Recommender orders.csv --into scored.csv --errors keep
  python3 -m helpers score shop:Recommender orders.parquet --compare
  python3 -m helpers score forest rows.csv --into scored.csv --columns age,income,height

A column goes to the parameter (or the table's column, or the model's input) of its name; a tensor
with further axes takes a column of lists, or one column for each of its numbers: f0 … f9, in the
order of their numbers, or those that --columns names. Other columns are passed through. A run
that was stopped or killed goes on when it is started again. The output without an ending is a
folder of parquet files.
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
    parser.add_argument(
        "--with", dest="engine", choices=ENGINES, default="pyarrow", help="what reads the file; default: pyarrow"
    )
    parser.add_argument(
        "--columns",
        action="append",
        default=[],
        metavar="[INPUT=]NAME,…",
        help="the columns that fill an input, in order; a NAME may be a pattern such as 'f*'; repeatable",
    )
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

    expect_target(arguments.target, "score")
    job = Job(
        target=arguments.target,
        file=arguments.file,
        into=arguments.into or Path(),
        engine=arguments.engine,
        batch=arguments.batch,
        keep_errors=arguments.errors == "keep",
        api=arguments.api,
        columns=tuple(arguments.columns),
    )
    if arguments.compare:
        print(aligned(["engine", "rows/s", "seconds", "answers"], compare(job, ENGINES, print)))
        return 0
    try:
        done = score(job, arguments.anew, say=print)
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
