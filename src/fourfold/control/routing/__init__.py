"""From rows to the gateway: which service has which route, and what is said to HAProxy when."""
