"""Ruby: gems by Bundler into vendor/bundle. Downloaded with network, installed (extensions compiled) without."""

from __future__ import annotations

import re

from fourfold.build.builders.base import Found, choose, need_tool
from fourfold.build.model import APP, Host, Layer, Listing, shell

_ENV = {
    "BUNDLE_PATH": f"{APP}/vendor/bundle",
    "BUNDLE_APP_CONFIG": f"{APP}/.bundle",
    "BUNDLE_WITHOUT": "development:test",
    "BUNDLE_DISABLE_VERSION_CHECK": "true",
}


MARKERS = ("Gemfile",)


def matches(listing: Listing) -> bool:
    return listing.has("Gemfile") or listing.has("config.ru") or bool(listing.ending(".rb"))


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when Ruby or Bundler is missing."""
    runtime = choose(host, "ruby", *_version(listing, wanted))
    argv = _entry(listing, runtime.path)
    if not listing.has("Gemfile"):
        return Found(runtime, path=runtime.folders, argv=argv)
    need_tool(host, "bundle", "bundler", "a Gemfile")
    files = ["Gemfile", *(name for name in ("Gemfile.lock", ".ruby-version") if listing.has(name))]
    local = re.search(r"\bpath:|:path\s*=>|^\s*(gemspec|eval_gemfile)\b", listing.text("Gemfile") or "", re.MULTILINE)
    # A Gemfile without gems must not need the registry: `bundle cache` makes no vendor/cache then.
    resolve = shell(
        "[ -f Gemfile.lock ] || bundle lock; bundle cache --no-install --quiet", _ENV, network=True, title="fetch gems"
    )
    install = shell(
        "bundle install --local --quiet && rm -rf vendor/cache && mkdir -p vendor/bundle .bundle",
        _ENV,
        title="install gems",
    )
    layer = Layer(
        None if local else tuple(sorted(files)), (resolve, install), ("vendor/bundle", ".bundle"), "Gemfile.lock"
    )
    env = {**_ENV, "BUNDLE_GEMFILE": f"{APP}/Gemfile", "BUNDLE_FROZEN": "true", "RACK_ENV": "production"}
    argv = argv and ("/usr/bin/env", "bundle", "exec", *argv)
    return Found(runtime, (layer,), path=runtime.folders, env=env, build_env=_ENV, argv=argv)


def _entry(listing: Listing, ruby: str) -> tuple[str, ...] | None:
    if listing.has("config.ru"):
        return ("/bin/sh", "-c", 'exec rackup --host "$HOST" --port "$PORT"')
    if listing.only and listing.only.path.endswith(".rb"):
        return (ruby, listing.only.path)
    return next(((ruby, name) for name in ("app.rb", "main.rb", "server.rb") if listing.has(name)), None)


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "ruby"):
        return wanted, "runtime"
    if match := re.match(r"\s*(?:ruby-)?(\d+\.\d+)", listing.text(".ruby-version") or ""):
        return f"ruby{match[1]}", ".ruby-version"
    return None, "runtime"
