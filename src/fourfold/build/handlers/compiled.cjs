// What V8 has made of the CommonJS modules of a handler, kept from the build for each start: `module.enableCompileCache`
// of Node.js 22 runs what it is to keep, and wants the code at the same path; this does neither, from Node.js 18 on.
//
// At the build: node compiled.cjs HANDLER, in the tree; writes `compiled` beside this file. No code of the handler is run.
// Format: length of the index (4 bytes, little-endian), the index as JSON, data; {path in the tree: [start, bytes, length
// of the source]}. V8 itself refuses what another version or other flags have made (`cachedData` of node:vm).
'use strict';
const fs = require('fs');
const Module = require('module');
const path = require('path');
const vm = require('vm');

const KEPT = path.join(__dirname, 'compiled');
const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];
const LEAST_BYTES = 64 * 1024; // of source: less than that is compiled sooner than found
const MOST_BYTES = 32 * 1024 * 1024;
const MOST_MODULES = 5000;
const REQUIRED = /\brequire\(\s*(['"])([^'"\n]+)\1\s*\)/g;
// All functions are compiled, not only what a module calls at once; the same source gives the same bytes. Data holds a
// number that stands for the flags, at 12 (SerializedCodeData in V8's snapshot/code-serializer.h): that of none is put there.
const FLAGS = ['--no-lazy', '--predictable', '--hash-seed=1'];
const FLAGS_AT = 12;
const IMPORTING = /\bimport\s*[(/]/; // V8 does not keep whose `import()` that is: such modules are compiled as ever

function compile(content, filename, options) {
  const text = content.startsWith('#!') ? content.replace(/^.*/, '') : content;
  return vm.compileFunction(text, PARAMETERS, { filename, ...options });
}

/** Modules are compiled from what is kept, unless something changes their source or wants to see it. */
function use(...roots) {
  let kept;
  try { kept = fs.openSync(KEPT); } catch { return; }
  const read = (start, size) => { const data = Buffer.allocUnsafe(size); return data.subarray(0, fs.readSync(kept, data, 0, size, start)); };
  const first = 4 + read(0, 4).readUInt32LE(0);
  const index = new Map(Object.entries(JSON.parse(read(4, first - 4))));
  const usual = Module.prototype._compile;
  const loader = Module._extensions['.js'];
  const tops = roots.map((root) => root + path.sep);
  const own = function (content, filename, format) {
    const top = tops.find((each) => filename.startsWith(each));
    const found = top && index.get(filename.slice(top.length));
    const plain = format !== 'module' && this._compile === own && Module._extensions['.js'] === loader;
    if (!found || !plain || found[2] !== content.length) return usual.apply(this, arguments);
    const compiled = compile(content, filename, { cachedData: read(first + found[0], found[1]) });
    if (compiled.cachedDataRejected) index.clear(); // so would be all others
    return Reflect.apply(compiled, this.exports, [this.exports, requireOf(this), this, filename, path.dirname(filename)]);
  };
  if (!process.sourceMapsEnabled && !/--enable-source-maps/.test(process.env.NODE_OPTIONS)) Module.prototype._compile = own;
}

function requireOf(module) {
  const required = (id) => module.require(id);
  required.resolve = (id, options) => Module._resolveFilename(id, module, false, options);
  required.resolve.paths = (id) => Module._resolveLookupPaths(id, module);
  return Object.assign(required, { main: process.mainModule, extensions: Module._extensions, cache: Module._cache });
}

/** {path: source} of what is required from there by names that can be read. */
function reachable(start) {
  const found = new Map();
  const waiting = [start];
  for (let bytes = 0; waiting.length && found.size < MOST_MODULES;) {
    const place = waiting.pop();
    if (found.has(place)) continue;
    const content = fs.readFileSync(place, 'utf8');
    if ((bytes += content.length) > MOST_BYTES) break;
    found.set(place, content);
    const { resolve } = Module.createRequire(place);
    for (const [, , name] of content.matchAll(REQUIRED)) {
      let next;
      try { next = resolve(name); } catch { continue; }
      if (path.isAbsolute(next) && !/\.(json|node|mjs)$/.test(next)) waiting.push(next);
    }
  }
  return found;
}

function make(handler, flags) {
  const root = process.cwd();
  const stem = path.resolve(path.dirname(handler), path.basename(handler).split('.')[0]);
  const start = ['.js', '.cjs'].map((end) => stem + end).find((each) => fs.existsSync(each));
  const sources = start ? reachable(fs.realpathSync(start)) : new Map();
  if ([...sources.values()].reduce((sum, each) => sum + each.length, 0) < LEAST_BYTES) return;
  const index = {};
  const parts = [];
  let size = 0;
  for (const [place, content] of [...sources].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!place.startsWith(root + path.sep) || IMPORTING.test(content)) continue;
    let data;
    try { data = dataOf(content, place); } catch { continue; } // an ES module, say
    data.writeUInt32LE(flags, FLAGS_AT);
    index[path.relative(root, place)] = [size, data.length, content.length];
    parts.push(data);
    size += data.length;
  }
  const text = Buffer.from(JSON.stringify(index));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(text.length);
  fs.writeFileSync(KEPT, Buffer.concat([head, text, ...parts]));
}

function dataOf(content, place) { return compile(content, place, { produceCachedData: true }).cachedData; }

if (require.main !== module) module.exports = { use };
else if (process.argv.length > 3) make(process.argv[2], Number(process.argv[3]));
else {
  const flags = dataOf('', 'none.js').readUInt32LE(FLAGS_AT);
  const { status } = require('child_process').spawnSync(process.execPath, [...FLAGS, __filename, process.argv[2], flags], { stdio: 'inherit' });
  if (status !== 0) console.log('The modules of the handler are not compiled ahead.');
}
