"""Events for services and runs of jobs: accepted, kept, delivered at least once, given up."""
