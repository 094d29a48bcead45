"""A seeded random life of one app under constant load: changes, faults in the middle of them, invariants after each.

`schedule` (pure) says what happens; `world` does it; `invariants` says what must hold once it is over; `life` puts
them together. Short in `tests/e2e/test_chaos.py`, long in `bench/soak.py`; a seed replays its run.
"""
