"""The one command: a map from subcommand to the package that has it, loaded when it is called.

``edgeship --help`` imports none of the packages. A domain error (any exception of one of our
packages) is one line with the next action and exit 1; wrong usage exits 2.
"""

from __future__ import annotations

import errno
import importlib
import sys
import unicodedata
from dataclasses import dataclass
from typing import NoReturn, cast

import click

from edgeship.free_memory import keep_to_free_memory

OUR_PACKAGES = frozenset(
    {"contracts", "device_profiles", "edge_agent", "edgeship", "fleet_server", "optimizer", "signing"}
)

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """Where a subcommand lives (``module:attribute``), which extra it needs, and its line of help."""

    where: str
    extra: str
    help: str


SUBCOMMANDS: dict[str, Subcommand] = {
    "optimize": Subcommand(
        where="optimizer.cli.optimize:optimize",
        extra="optimizer",
        help="Find the best artifact of a model for a device.",
    ),
    "recipe": Subcommand(
        where="optimizer.cli.recipe:recipe",
        extra="optimizer",
        help="Plan, run, explore, compare and pack recipes of passes.",
    ),
    "artifact": Subcommand(
        where="optimizer.cli.artifact:artifact", extra="optimizer", help="Read and verify artifact files."
    ),
    "benchmark": Subcommand(
        where="optimizer.cli.benchmark:benchmark", extra="optimizer", help="Measure a model on this machine."
    ),
    "measure": Subcommand(
        where="optimizer.benchmark.far_side:measure", extra="", help="Measure for an optimizer elsewhere (--runner)."
    ),
    "profile": Subcommand(where="device_profiles.cli:profile", extra="", help="Show what each device can do."),
    "keys": Subcommand(where="signing.cli_keys:keys", extra="", help="Make signing keys, and say who holds which."),
    "release": Subcommand(
        where="signing.cli_release:release", extra="", help="Draft, sign, verify and publish releases."
    ),
    "fleet": Subcommand(
        where="fleet_server.cli_fleet:fleet", extra="server", help="Operate devices, groups, rollouts and alerts."
    ),
    "drift": Subcommand(where="fleet_server.cli_fleet:drift", extra="server", help="See which inputs moved."),
    "server": Subcommand(
        where="fleet_server.cli_server:server", extra="server", help="Set up and run the fleet server."
    ),
    "agent": Subcommand(where="edge_agent.cli:agent", extra="", help="Enroll and run the agent on a device."),
    "demo": Subcommand(where="edgeship.demo.cli:demo", extra="all", help="The whole story once, on this machine."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in story order."""
        del ctx
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now."""
        del ctx
        entry = SUBCOMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        try:
            return cast("click.Command", getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            _refuse_missing_package(cmd_name, entry, error)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words call; an unknown one is refused with the nearest."""
        from difflib import get_close_matches

        if args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            hint = "".join(f" Did you mean {name!r}?" for name in get_close_matches(args[0], SUBCOMMANDS, n=1))
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in SUBCOMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="edgeship", message="edgeship %(version)s")
def edgeship() -> None:
    """Take a trained model onto a fleet of edge devices, safely, and keep it honest there.

    train -> optimize -> prove -> sign -> roll out -> serve -> watch -> retrain
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    _bound_memory(SUBCOMMANDS.get(_called(arguments)))
    try:
        code = edgeship.main(args=arguments, prog_name="edgeship", standalone_mode=False)
    except click.ClickException as error:
        _explained(error).show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        _refuse_missing_package(_called(arguments), SUBCOMMANDS.get(_called(arguments)), error)
    except BrokenPipeError:
        sys.exit(1)
    except (OSError, MemoryError) as error:
        click.echo(f"error: {_shown(_os_sentence(error))}", err=True)
        sys.exit(1)
    except Exception as error:
        if not is_ours(error):
            raise
        click.echo(f"error: {_shown(str(error))}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def is_ours(error: BaseException) -> bool:
    """Return whether one of our packages defined the exception: then its message is for the user."""
    return type(error).__module__.partition(".")[0] in OUR_PACKAGES


def _shown(message: str) -> str:
    """Return the message with control characters spelt out: names in it come from files of others."""
    return "".join(ascii(one)[1:-1] if _is_control(one) else one for one in message)


def _is_control(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf")


def _explained(error: click.ClickException) -> click.ClickException:
    """Return the error; a missing option is said with its help, which gives an example."""
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option) and not error.message:
        return click.MissingParameter(error.param.help, error.ctx, error.param)
    return error


def _called(arguments: list[str] | None) -> str:
    words = sys.argv[1:] if arguments is None else arguments
    return next((word for word in words if not word.startswith("-")), "")


def _bound_memory(entry: Subcommand | None) -> None:
    """Let a command that runs models of others take the memory that is free, and no more."""
    if entry is not None and entry.extra == "optimizer":
        keep_to_free_memory()


def _os_sentence(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return (
            "out of memory: more was asked for than this machine has free; free some, or give a smaller model or "
            "fewer rows"
        )
    place = f" ({error.filename})" if error.filename else ""
    if is_ours(error):
        return str(error)
    if error.errno in NO_ROOM:
        return f"the disk is full{place}: free some space and run the command again; nothing was half written"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission{place}: choose a folder that you may write to, or change its owner"
    return f"{(error.strerror or str(error)).lower()}{place}: check the path or address and run the command again"


def _refuse_missing_package(name: str, entry: Subcommand | None, error: ModuleNotFoundError) -> NoReturn:
    missing = (error.name or "").partition(".")[0]
    if missing in OUR_PACKAGES or entry is None:
        raise error
    extra = f"[{entry.extra}]" if entry.extra else ""
    click.echo(f"error: 'edgeship {name}' needs the package {missing}: run pip install 'edgeship{extra}'", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
