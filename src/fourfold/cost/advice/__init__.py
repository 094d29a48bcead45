"""Which pattern fits a service, why, how sure that is, and what would change it. Pure.

Rules are data (`rules.yaml`), on facts (`facts.yaml`) that are gathered from the service file, its source, what was
measured, its traffic and its costs (`facts.py`). Each rule that holds gives or takes points; the pattern with most is
advised. How sure that is follows from asking again with what is not known supposed (`scenarios.yaml`).
"""
