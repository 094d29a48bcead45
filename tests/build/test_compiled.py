"""Modules of Node.js handlers compiled ahead: what is kept is used, and never instead of what it was not made of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fourfold.build import clients

NODE = shutil.which("node") or ""
LONG = "".join(f"exports.f{number} = function () {{ return {number}; }};\n" for number in range(2000))
FILES = {
    "index.js": """#!/usr/bin/env node
const { f7 } = require('./lib/long');
if (!f7) require('dep');
const es = require('./lib/importing');
require('fs').writeFileSync('ran', '');
exports.handler = async () => [
  f7(), __filename, module.children.length, (await es()).default, require.resolve('dep'), require.main === module,
];
""",
    "lib/long.js": LONG,
    "lib/importing.js": "module.exports = () => import('./es.mjs');\n",
    "lib/es.mjs": "export default 'es';\n",
    "lib/odd.js": "import x from 'y';\n",
    "node_modules/dep/package.json": '{"main": "main"}',
    "node_modules/dep/main.js": "require('../../lib/odd'); require(name); require('./data.json'); require('gone');\n",
}
TRY = """
const vm = require('vm'), Module = require('module');
const usual = vm.compileFunction, used = [];
vm.compileFunction = (...all) => {
  const made = usual(...all);
  used.push([require('path').basename(all[2].filename), made.cachedDataRejected]);
  return made;
};
const root = process.cwd();
require(root + '/.fourfold/runtime/compiled.cjs').use('/nowhere', root);
%s
require(root + '/index.js').handler().then((answer) => console.log(JSON.stringify([answer, used])));
"""
CHANGE = """
const js = Module._extensions['.js'];
Module._extensions['.js'] = function (module, name) {
  const own = module._compile;
  module._compile = (text, ...all) => {
    delete module._compile;
    return own.call(module, text.replace('return 7;', 'return 8;'), ...all);
  };
  return js(module, name);
};
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree").resolve()
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    make(tree, "index.handler")
    return tree


def make(tree: Path, handler: str) -> str:
    argv = clients.compile_ahead(NODE, handler).argv
    return subprocess.run(argv, cwd=tree, check=True, capture_output=True, text=True).stdout


def tried(tree: Path, change: str = "", *flags: str) -> tuple[list[object], dict[str, bool]]:
    """-> what the handler answers, and of each module that was asked for whether V8 refused what was kept."""
    argv = [NODE, *flags, "-e", TRY % change]
    done = subprocess.run(argv, cwd=tree, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    answer, used = json.loads(done.stdout)
    (tree / "ran").unlink()
    return answer, dict(used)


def test_what_is_kept_is_used(tree: Path) -> None:
    assert not (tree / "ran").exists(), "nothing of it was run"
    answer, used = tried(tree)
    assert answer == [7, f"{tree}/index.js", 2, "es", f"{tree}/node_modules/dep/main.js", False]
    assert used == {"index.js": False, "long.js": False}


def test_the_same_source_gives_the_same_bytes(tree: Path) -> None:
    kept = tree / ".fourfold/runtime/compiled"
    before = kept.read_bytes()
    kept.unlink()
    assert make(tree, "index.handler") == ""
    assert kept.read_bytes() == before


def test_other_flags_and_changed_sources_are_compiled_anew(tree: Path) -> None:
    answer, used = tried(tree, "", "--no-lazy")
    assert answer[0] == 7 and list(used.values()) == [True], "after the first that V8 refuses nothing is asked for"
    assert tried(tree, CHANGE) == ([8, *answer[1:]], {})
    assert tried(tree, "", "--enable-source-maps") == (answer, {})


def test_small_or_missing_handlers_have_nothing_kept(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("exports.handler = () => 1;\n")
    for handler in ("index.handler", "gone.handler", "it's.$(touch x)"):
        make(tmp_path, handler)
    assert [path.name for path in (tmp_path / ".fourfold/runtime").iterdir()] == ["compiled.cjs"]
    assert not (tmp_path / "x").exists()
