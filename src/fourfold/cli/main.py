"""Entry point: run the command, turn every error into "error: … hint: …" and the exit code that DESIGN.md promises."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from typing import NoReturn

import click

from fourfold.cli.group import build
from fourfold.cli.options import Options
from fourfold.cli.printing import output
from fourfold.errors import FourfoldError, NotFoundError, WorldError
from fourfold.paths import Paths

INTERRUPTED = 130
TERMINATED = 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> NoReturn:
    _open_standard_streams()
    told: list[int] = []
    signal.signal(signal.SIGTERM, partial(_terminate, told))
    code = run(argv)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(TERMINATED if told and code == INTERRUPTED else code)  # to take Python down takes a tenth of a command


def _terminate(told: list[int], number: int, frame: object) -> None:
    """As CI servers end a job: what Ctrl-C would leave undone or clean up, this does too."""
    told.append(number)
    raise KeyboardInterrupt


def _open_standard_streams() -> None:
    """A caller may have closed them (`<&-`): else the next file or socket that is opened would take their place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)  # Python has none where it was closed
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as of stderr: locales without …, names that are not UTF-8


def run(argv: Sequence[str] | None = None) -> int:
    """0 done, 1 failed, 2 bad usage or bad input, 130 interrupted, which `main` tells from SIGTERM (143).

    `exec` and `run` pass the child's code through."""
    options = Options()
    argv = sys.argv[1:] if argv is None else argv
    try:
        code = build(options).main(args=argv, prog_name="fourfold", standalone_mode=False, obj=options)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except FourfoldError as error:
        _look_elsewhere(error, options)
        output.error(error, options)
        return error.exit_code
    except click.ClickException as error:
        code = _usage(error, options)
        return 1 if "--detailed-exitcode" in argv else code  # where 2 says that there are changes
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # whoever read our output has gone (`| head`): nothing to say
        return 1
    except OSError as error:
        _write_no_more()
        where = f"{error.filename}: " if error.filename else ""
        output.error(WorldError(f"cannot go on: {where}{error.strerror or error}"), options)
        return 1
    except Exception as error:
        if options.asked is not None and (foreign := options.asked.differs()):
            output.error(foreign, options)
        else:
            output.unexpected(error, options)
        return 1
    finally:
        options.closing.close()


def _write_no_more() -> None:
    """Python must not flush at its exit what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _look_elsewhere(error: FourfoldError, options: Options) -> None:
    """An app that is not here may be with the daemon of another user or home: say which."""
    if isinstance(error, NotFoundError) and options.app and not options.host:
        from fourfold.cli.link.elsewhere import hint_for_missing

        error.hint = hint_for_missing(Paths.find(os.environ, os.geteuid()), options.app, error.hint)


def _usage(error: click.ClickException, options: Options) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.message, file=sys.stderr)
        return 2
    message = " ".join(error.format_message().split()).rstrip(".")  # it lists choices on lines of their own
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        message = f"no such option: {error.option_name}{near}"
    path = context.command_path if context else "fourfold"
    output.say_error(f"cannot run {path}: {message[:1].lower()}{message[1:]}", f"see: {path} --help", options, 2)
    return error.exit_code
