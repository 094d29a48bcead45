"""Pattern `function`: the invoker and its sandboxes. See README.md here."""
