"""Programs of ours that go into artifacts: clients of the Lambda Runtime API, and what calls handlers elsewhere.

They run with the service's own interpreters and import nothing of Fourfold; the builder reads them as text.
"""
