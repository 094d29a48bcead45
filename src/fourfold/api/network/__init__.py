"""The API over the network: TLS, tokens, rights, and bounds on whoever may be there."""
