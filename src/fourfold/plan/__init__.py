"""What to do next, as a value: plan(goals, instances, now) -> actions. Pure, tested from tables and with Hypothesis."""
