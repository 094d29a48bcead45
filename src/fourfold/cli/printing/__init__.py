"""How results and progress are printed: for people, for programs, for terminals."""
