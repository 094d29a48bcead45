"""Groups that services share a process in, and members of which the others are protected."""
