"""One file per language: looks at a source and says how to build and run it. Pure: facts in, a `Found` out."""
