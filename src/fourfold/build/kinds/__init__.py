"""One file per kind of group: how its host program is built, and what a guest of it is built to. Pure."""
