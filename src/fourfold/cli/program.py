"""Commands that take a program with its own options: `exec` and `run`."""

from __future__ import annotations

from typing import Any

from fourfold.cli.parameters import Command


class ProgramCommand(Command):
    """`exec [OPTIONS] SERVICE [OPTIONS] [--] CMD …`: what stands after CMD is the program's own, `-v` and all."""

    allow_interspersed_args = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        before, words = self._split(ctx, args)
        between, argv = self._split(ctx, words[1:])
        return super().parse_args(ctx, [*before, *between, "--", *words[:1], *argv])

    def _split(self, ctx: Any, args: list[str]) -> tuple[list[str], list[str]]:
        """Options, and what begins with the first word that is none."""
        values, _, _ = self.make_parser(ctx).parse_args(list(args))
        argv = values.get("argv")  # Click has a word of its own for what is not there
        words = [values.get("service"), *(argv if isinstance(argv, tuple) else ())]
        words = [word for word in words if isinstance(word, str)]
        options = args[: len(args) - len(words)]
        return options[:-1] if options[-1:] == ["--"] else options, words
