"""One file per command; each has `command`, a function (or a Typer, where a command has commands of its own)."""
