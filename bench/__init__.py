"""Benchmarks, one command each: `.venv/bin/python -m bench.up100`, `restart`, `gateway`, `idle`, `invoke`, `signed`, ….

Each prints our figure, the peer's, and their ratio, all from one run in which they take turns. Needs root to be as in
earnest; what a bench needs that is not there (`wrk`, supervisord, PM2) it installs first, the peers into `.venv/peers`.
"""
