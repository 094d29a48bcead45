"""Files of other tools, as drafts of service files, for `fourfold init`: one module per format. Pure."""
