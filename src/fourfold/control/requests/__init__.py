"""Requests of the API, one class per resource: each checks what is asked, then hands it to the part that does it."""
