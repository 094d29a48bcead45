"""A comparison as one HTML page to pass around: no network, no scripts, light and dark, readable on a phone. Pure."""
