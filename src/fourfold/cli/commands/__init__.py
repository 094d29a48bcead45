"""One file per command; each has `command`, a function (or `Commands`, where it has commands of its own)."""
