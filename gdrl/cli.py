"""The command line: ``gdrl plan|status|show|diff``, and :func:`main` for the scripts in ``jobs/``.

Arguments are checked before anything heavy loads: a typo costs no torch, no Ray and no minute.
"""

import argparse
import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from gdrl import inspection, settings
from gdrl.artifacts import Storage, Store, open_store
from gdrl.config import RunConfig
from gdrl.errors import GdrlError, StageFailed
from gdrl.pipeline import STAGES, plan, refuse_drift, select

DEFAULT_STORAGE: str = RunConfig.model_fields["storage"].default


def main(artifact: str | None, doc: str | None, argv: Sequence[str] | None = None) -> NoReturn:
    """A job: make one artifact, or with None all that are missing, and exit 0 or 1.

    A finished pipeline prints the path of its report as the last line.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_recipe(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="delete what was made with other settings, and make it again",
    )
    arguments = parser.parse_intermixed_args(argv)
    exit_after(lambda: _job(artifact, arguments))


def gdrl(argv: Sequence[str] | None = None) -> NoReturn:
    """The ``gdrl`` command: look at runs, from a laptop with nothing heavy installed."""
    parser = argparse.ArgumentParser(
        prog="gdrl", description="Look at runs and what they would do."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "plan", help="what a recipe's stages would do: skip, run or drift"
    )
    _add_recipe(command)
    command.set_defaults(describe=_plan)

    command = commands.add_parser("status", help="what of a run is finished")
    command.add_argument("run", metavar="RUN")
    command.set_defaults(describe=_status)

    command = commands.add_parser("show", help="what an artifact's manifest says")
    command.add_argument("artifact", metavar="RUN/ARTIFACT")
    command.add_argument("--json", action="store_true", help="the metrics alone, as a JSON object")
    command.set_defaults(describe=_show)

    command = commands.add_parser("diff", help="settings and metrics that differ between two runs")
    command.add_argument("runs", metavar="RUN", nargs=2)
    command.set_defaults(describe=_diff)

    for name in ("status", "show", "diff"):
        commands.choices[name].add_argument(
            "--storage", default=DEFAULT_STORAGE, help="folder that holds runs (%(default)s)"
        )
    arguments = parser.parse_args(argv)
    exit_after(lambda: print(arguments.describe(arguments)))


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="a TOML file")
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help="settings, as in recipe.vae.beta=8"
    )


def _job(artifact: str | None, arguments: argparse.Namespace) -> None:
    config = settings.load(arguments.recipe, arguments.overrides)
    store = open_store(Storage(config.storage, config.s3))
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
        print(store.location(f"{config.name}/{STAGES[-1].artifact}/index.html"))


def _plan(arguments: argparse.Namespace) -> str:
    config = settings.load(arguments.recipe, arguments.overrides)
    return inspection.describe_plan(plan(config, open_store(Storage(config.storage, config.s3))))


def _status(arguments: argparse.Namespace) -> str:
    return inspection.describe_run(inspection.find_run(_store(arguments), arguments.run))


def _show(arguments: argparse.Namespace) -> str:
    name, slash, artifact = arguments.artifact.partition("/")
    run = inspection.find_run(_store(arguments), name)
    if not slash:
        return inspection.describe_run(run)
    manifest = run.finished(artifact)
    if arguments.json:
        return json.dumps(manifest.metrics, indent=2)
    return inspection.describe_artifact(manifest, str(run.store.location(arguments.artifact)))


def _diff(arguments: argparse.Namespace) -> str:
    old, new = (inspection.find_run(_store(arguments), name) for name in arguments.runs)
    return inspection.describe_difference(old, new)


def _store(arguments: argparse.Namespace) -> Store:
    return open_store(Storage(arguments.storage))


def exit_after(act: Callable[[], None]) -> NoReturn:
    """Exit 0, or 1 with a message where a person can do something, or 130 on Ctrl-C."""
    try:
        act()
    except GdrlError as error:
        if isinstance(error, StageFailed) and not isinstance(error.__cause__, GdrlError):
            traceback.print_exception(error.__cause__)
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from what is finished", file=sys.stderr)
        _leave_at_once(130)
    sys.exit(0)


def _leave_at_once(code: int) -> NoReturn:
    """Exit without waiting for stages that are still running; what they began never was."""
    for child in multiprocessing.active_children():
        child.terminate()
    sys.stdout.flush()
    os._exit(code)
