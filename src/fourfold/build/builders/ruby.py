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
_CACHE = "vendor/cache"
"""Where `bundle cache` puts gems, and people who keep theirs with the source."""
_COMPLETE = "ruby -rbundler -e 'Bundler.definition.resolve_with_cache!; Bundler.definition.specs' 2>/dev/null"
"""Whether nothing is missing there: gems of another platform may be all that is."""
_PUMA = re.compile(r"""^\s*gem\s*\(?\s*["']puma["']""", re.MULTILINE)
"""It serves a config.ru by itself; `rackup` is a gem of its own since Rack 3, which few bundles have."""

MARKERS = ("Gemfile",)


def matches(listing: Listing) -> bool:
    return listing.has("Gemfile") or listing.has("config.ru") or bool(listing.ending(".rb"))


def find(listing: Listing, host: Host, wanted: str | None, build: str) -> Found:
    """Raises UserError when Ruby or Bundler is missing."""
    runtime = choose(host, "ruby", *_version(listing, wanted))
    argv = _argv(listing, runtime.path, bundled=listing.has("Gemfile"))
    if not listing.has("Gemfile"):
        return Found(runtime, path=runtime.folders, argv=argv)
    need_tool(host, "bundle", "bundler", "a Gemfile")
    files = ["Gemfile", *(name for name in ("Gemfile.lock", ".ruby-version") if listing.has(name))]
    local = re.search(r"\bpath:|:path\s*=>|^\s*(gemspec|eval_gemfile)\b", listing.text("Gemfile") or "", re.MULTILINE)
    vendored = [name for name in listing.entries if name.startswith(f"{_CACHE}/")]
    # A Gemfile without gems must not need the registry: `bundle cache` makes no vendor/cache then.
    fetch = "{ [ -f Gemfile.lock ] || bundle lock; } && bundle cache --no-install --quiet"
    if vendored:
        fetch = f"{_COMPLETE} || {{ {fetch}; }}"
    resolve = shell(fetch, _ENV, network=True, title="fetch gems")
    install = shell(
        f"bundle install --local --quiet && rm -rf {_CACHE} && mkdir -p vendor/bundle .bundle",
        _ENV,
        title="install gems",
    )
    asked = None if local else tuple(sorted([*files, *vendored]))
    layer = Layer(asked, (resolve, install), ("vendor/bundle", ".bundle"), "Gemfile.lock")
    env = {**_ENV, "BUNDLE_GEMFILE": f"{APP}/Gemfile", "BUNDLE_FROZEN": "true", "RACK_ENV": "production"}
    drop = (_CACHE,) if vendored else ()
    return Found(runtime, (layer,), path=runtime.folders, env=env, build_env=_ENV, argv=argv, drop=drop)


def _argv(listing: Listing, ruby: str, bundled: bool) -> tuple[str, ...] | None:
    if listing.has("config.ru"):
        puma = _PUMA.search(listing.text("Gemfile") or "")
        server = 'puma -b "tcp://$HOST:$PORT"' if puma else 'rackup --host "$HOST" --port "$PORT"'
        return ("/bin/sh", "-c", f"exec {'bundle exec ' if bundled else ''}{server}")
    scripts = [name for name in ("app.rb", "main.rb", "server.rb") if listing.has(name)]
    if listing.only and listing.only.path.endswith(".rb"):
        scripts = [listing.only.path]
    if not scripts:
        return None
    return (*(("/usr/bin/env", "bundle", "exec") if bundled else ()), ruby, scripts[0])


def _version(listing: Listing, wanted: str | None) -> tuple[str | None, str]:
    if wanted not in (None, "ruby"):
        return wanted, "runtime"
    if match := re.match(r"\s*(?:ruby-)?(\d+\.\d+)", listing.text(".ruby-version") or ""):
        return f"ruby{match[1]}", ".ruby-version"
    return None, "runtime"
