"""The host program of groups of kind python: fourfold/build/hosts/README.md is its contract.

In an artifact it is the package `fourfold_host`, and `lib/` beside it has the server (uvicorn) and the WSGI adapter
(a2wsgi). Standard library otherwise.
"""
