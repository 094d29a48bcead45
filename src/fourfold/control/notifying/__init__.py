"""Webhooks: events of an app, sent to where its file says, at least once each, in order."""
