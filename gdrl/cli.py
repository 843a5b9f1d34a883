"""The command line: the ``gdrl`` command, and :func:`main` for the scripts in ``jobs/``.

Arguments are checked before anything heavy loads: a typo costs no torch, no Ray and no minute.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from gdrl import capacity, doctor, export, garbage, inspection, settings
from gdrl.artifacts import Run, Storage, Store, open_store
from gdrl.errors import GdrlError, StageFailed
from gdrl.pipeline import plan, refuse_drift, select

NO_RECIPE = Path(os.devnull)
"""An empty TOML file: every setting has its default."""

SHOW_CURSOR = b"\x1b[?25h"
"""Progress bars hide it."""


def main(artifact: str | None, doc: str | None, argv: Sequence[str] | None = None) -> NoReturn:
    """A job: make one artifact, or with None all that are missing, and exit 0 or 1.

    A finished pipeline prints the address of its report as the last line.
    """
    parser = _job_parser(doc)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="delete what was made with other settings, and make it again",
    )
    arguments = parser.parse_intermixed_args(argv)
    exit_after(lambda: _job(artifact, arguments))


def study(doc: str | None, argv: Sequence[str] | None = None) -> NoReturn:
    """The study's job: measure what is missing of its rows, print the table, and exit 0 or 1."""
    parser = _job_parser(doc)
    parser.add_argument("--rows", metavar="ROW", nargs="+", default=(), help="these rows alone")
    arguments = parser.parse_intermixed_args(argv)
    exit_after(lambda: _study(arguments))


def gdrl(argv: Sequence[str] | None = None) -> NoReturn:
    """The ``gdrl`` command: look at runs, from a laptop with nothing heavy installed."""
    parser = argparse.ArgumentParser(
        prog="gdrl", description="Look at runs, what they would do, and where they would do it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_looking(commands)
    _add_keeping(commands)
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes no positional after an option has ended them; what is left can be a setting.
    if unknown := [word for word in rest if word.startswith("-") or "=" not in word]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.overrides += rest
    exit_after(lambda: arguments.act(arguments))


def _add_looking(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "plan", help="what a recipe's stages would do: skip, run or drift"
    )
    _add_recipe(command)
    command.add_argument(
        "--budget",
        metavar="DOLLARS",
        type=float,
        help="suggest how many trainers and replicas, at the settings' prices an hour",
    )
    command.add_argument(
        "--measured", metavar="RUN", help="the finished run to take rates from (the recipe's name)"
    )
    command.set_defaults(act=_plan)

    command = commands.add_parser("status", help="what of a run is finished")
    command.add_argument("run", metavar="RUN")
    command.set_defaults(act=_status)

    command = commands.add_parser("show", help="what an artifact's manifest says")
    command.add_argument("artifact", metavar="RUN/ARTIFACT")
    command.add_argument("--json", action="store_true", help="the metrics alone, as a JSON object")
    command.set_defaults(act=_show)

    command = commands.add_parser("diff", help="settings and metrics that differ between two runs")
    command.add_argument("runs", metavar="RUN", nargs=2)
    command.set_defaults(act=_diff)

    for name in ("status", "show", "diff"):
        _add_storage(commands.choices[name])


def _add_keeping(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("doctor", help="whether storage, Ray, MLLM and GPUs would work")
    command.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", default=NO_RECIPE)
    _add_overrides(command)
    command.set_defaults(act=_doctor)

    command = commands.add_parser("export", help="copy what a run finished into a folder")
    command.add_argument("run", metavar="RUN")
    command.add_argument("target", metavar="DIR")
    command.set_defaults(act=_export)

    command = commands.add_parser("gc", help="list what no run needs any more")
    command.add_argument("--delete", action="store_true", help="delete it, too")
    command.add_argument(
        "--older-than",
        metavar="HOURS",
        type=float,
        default=garbage.MIN_AGE_HOURS,
        help="pass over what is younger: a live upload looks like an orphan (%(default)g)",
    )
    command.set_defaults(act=_gc)

    for name in ("export", "gc"):
        _add_storage(commands.choices[name])


def _job_parser(doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_recipe(parser)
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="a TOML file")
    _add_overrides(parser)


def _add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storage", metavar="URI", help="folder or s3://… that holds runs (runs)")
    parser.add_argument(
        "--recipe", metavar="FILE", type=Path, default=NO_RECIPE, help="take storage and s3 of it"
    )
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help="settings, as in recipe.vae.beta=8"
    )


def _job(artifact: str | None, arguments: argparse.Namespace) -> None:
    config = settings.load(arguments.recipe, arguments.overrides)
    store = open_store(Storage.of(config))
    if arguments.dry_run:
        decisions = plan(config, store)
        chosen = decisions if artifact is None else select(artifact, decisions)
        print(inspection.describe_plan(chosen))
        if not arguments.overwrite:
            refuse_drift(chosen)
        return
    from gdrl.execution import execute

    execute(config, store, artifact=artifact, overwrite=arguments.overwrite)
    if artifact is None:
        print(Run(store, config.inputs.get("report", config.name)).address("report", "index.html"))


def _study(arguments: argparse.Namespace) -> None:
    from gdrl.execution import ray_session
    from gdrl.study import run_study

    config = settings.load(arguments.recipe, arguments.overrides)
    print(run_study(config, ray_session, arguments.rows))


def _plan(arguments: argparse.Namespace) -> None:
    config = settings.load(arguments.recipe, arguments.overrides)
    store = open_store(Storage.of(config))
    print(inspection.describe_plan(plan(config, store)))
    if arguments.budget is not None:
        work = capacity.Work.of(config)
        rates = capacity.measured(inspection.find_run(store, arguments.measured or config.name))
        splits = capacity.candidates(work, rates, config.prices)
        chosen = capacity.best(splits, arguments.budget)
        print(f"\n{inspection.describe_capacity(work, rates, splits, chosen)}")


def _status(arguments: argparse.Namespace) -> None:
    print(inspection.describe_run(inspection.find_run(_store(arguments), arguments.run)))


def _show(arguments: argparse.Namespace) -> None:
    name, slash, artifact = arguments.artifact.partition("/")
    run = inspection.find_run(_store(arguments), name)
    if not slash:
        print(inspection.describe_run(run))
        return
    manifest = run.finished(artifact)
    if arguments.json:
        print(json.dumps(manifest.metrics, indent=2))
    else:
        location = run.store.location(arguments.artifact)
        print(inspection.describe_artifact(manifest, str(location)))


def _diff(arguments: argparse.Namespace) -> None:
    store = _store(arguments)
    old, new = (inspection.find_run(store, name) for name in arguments.runs)
    print(inspection.describe_difference(old, new))


def _doctor(arguments: argparse.Namespace) -> None:
    recipe, overrides = arguments.recipe, arguments.overrides
    if "=" in str(recipe):  # both are optional, and argparse fills the first
        recipe, overrides = NO_RECIPE, [str(recipe), *overrides]
    failed = 0
    for finding in doctor.examine(settings.load(recipe, overrides)):
        print(finding, flush=True)
        failed += not finding.ok
    if failed:
        sys.exit(1)


def _export(arguments: argparse.Namespace) -> None:
    run = inspection.find_run(_store(arguments), arguments.run)
    for line in export.export(run, arguments.target):
        print(line, flush=True)


def _gc(arguments: argparse.Namespace) -> None:
    store = _store(arguments)
    found = garbage.find(store, arguments.older_than)
    if arguments.delete:
        garbage.delete(store, found)
    print(inspection.describe_garbage(found, deleted=arguments.delete))


def _store(arguments: argparse.Namespace) -> Store:
    named = [] if arguments.storage is None else [f"storage={json.dumps(arguments.storage)}"]
    config = settings.load(arguments.recipe, [*named, *arguments.overrides])
    return open_store(Storage.of(config))


def exit_after(act: Callable[[], None]) -> NoReturn:
    """Exit 0, or 1 with a message where a person can do something, or 130 on Ctrl-C."""
    previous = signal.signal(signal.SIGINT, _leave_at_once)
    try:
        act()
    except GdrlError as error:
        if isinstance(error, StageFailed) and not isinstance(error.__cause__, GdrlError):
            traceback.print_exception(error.__cause__)
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGINT, previous)
    sys.exit(0)


def _leave_at_once(*_: object) -> NoReturn:
    """On Ctrl-C; what running stages began never was.

    Not by an exception: on its way out it shuts Ray down, and a stage still at work that then calls
    Ray ends the process with code 1 (one time in nine). A private cluster ends with this process
    all the same; the last of its agents takes a minute.
    """
    if sys.stdout.isatty():
        os.write(1, SHOW_CURSOR)
    os.write(2, b"\nstopped; the same command goes on from what is finished\n")
    os._exit(130)
