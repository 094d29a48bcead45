"""Builds asked for by themselves: a queue that is fair between users, and their results to be taken away."""
