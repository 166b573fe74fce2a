"""``springline``: finds the command, and turns errors into one message and an exit status."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from springline.errors import SpringlineError

COMMANDS: Final[dict[str, str]] = {
    "run": "Run an application and serve it.",
    "capture": "Capture an application's sources into Kafka.",
    "deploy": "Bring an application's views to Flink.",
    "serve": "Answer from the topics of an application on a cluster.",
    "demo": "Run the live travel assistant over a real database.",
    "init": "Look at a PostgreSQL database and write a first application.",
    "doctor": "Say what is wrong, and what to do about it.",
    "status": "Show the whole pipeline at a glance.",
    "ask": "Ask the assistant.",
    "search": "Search a knowledge base.",
    "query": "Read tables and views with one SELECT.",
    "dead-letters": "List the rows and documents that could not be processed.",
    "changes": "Follow the changes of a table or view.",
    "explain": "Show how a view is maintained.",
    "receipts": "List answers, or show what one was based on.",
    "verify": "Rebuild the context of an answer and compare.",
    "log": "Print the changes in the log.",
    "replay": "Build the state again from the log, in a new folder.",
    "resnapshot": "Load tables again from their source.",
    "backup": "Copy the data folder while everything runs.",
    "restore": "Bring a backup back.",
    "version": "Print the versions of Springline and what it stands on.",
}
"""Every command with its one line, in the order of ``--help``. Its module has the command's name."""

USAGE_STATUS: Final = 64
DIFFERENT_STATUS: Final = 65
UNKNOWN_STATUS: Final = 66
INTERNAL_STATUS: Final = 70
INTERRUPTED_STATUS: Final = 130


class Commands(click.Group):
    """A group whose commands are imported when they are used, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"springline.cli.{cmd_name.replace('-', '_')}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="springline", message="%(version)s")
def cli() -> None:
    """Keeps the context of generative-AI applications fresh.

    Settings come from flags, then SPRINGLINE_… variables, then springline.toml beside the application. Data goes to standard output,
    everything else to standard error. Exit status: 0 well; 1 to 6 by kind of error; 64 wrong usage; see docs/cli.md.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point. Ends the process with its exit status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status. Never raises."""
    as_json = "--json" in arguments
    try:
        outcome: Any = cli.main(list(arguments), prog_name="springline", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except SpringlineError as error:
        show_error(error, as_json=as_json)
        return error.exit_status
    except click.ClickException as error:
        _show_usage(error, as_json=as_json)
        return USAGE_STATUS
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED_STATUS
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`). Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        _show_unexpected(error, as_json=as_json)
        return INTERNAL_STATUS


def show_error(error: SpringlineError, *, as_json: bool) -> None:
    """One error on standard error: message and hint, or with ``--json`` the one error shape."""
    from springline.secret import redact

    if as_json:
        click.echo(redact(json.dumps(error.to_json(), ensure_ascii=False, default=str)), err=True)
        return
    click.echo(click.style("Error: ", fg="red", bold=True) + redact(error.message), err=True)
    if error.hint:
        click.echo(click.style("Hint:  ", fg="cyan", bold=True) + redact(error.hint), err=True)


def _show_usage(error: click.ClickException, *, as_json: bool) -> None:
    if as_json:
        shape = {
            "code": "usage",
            "message": error.format_message(),
            "hint": "Add --help.",
            "transient": False,
        }
        click.echo(json.dumps(shape, ensure_ascii=False), err=True)
    else:
        error.show()


def _show_unexpected(error: Exception, *, as_json: bool) -> None:
    import traceback

    from springline.secret import redact

    told = f"Springline met an unexpected {type(error).__name__}: {error}"
    hint = "This is a defect. Please report it with the lines above."
    if as_json:
        shape = {"code": "internal", "message": told, "hint": hint, "transient": False}
        click.echo(redact(json.dumps(shape, ensure_ascii=False)), err=True)
        return
    click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)
    click.echo(click.style("Error: ", fg="red", bold=True) + redact(told), err=True)
    click.echo(click.style("Hint:  ", fg="cyan", bold=True) + hint, err=True)


if __name__ == "__main__":
    main()
