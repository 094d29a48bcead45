// The last words of a worker: the error that nobody caught, which Node.js prints at the end of its log.
'use strict';
const fs = require('fs');

const MOST = 1000;
const LOOKED_AT = 16 * 1024;

/** `TypeError: no such colour (server.js:5:12)`; empty when it ended in another way. `from`: byte where its run began. */
function lastWords(log, from, tree) {
  let text;
  try { text = tail(log, from); } catch { return ''; }
  const lines = text.split('\n').map((line) => line.trimEnd()).filter((line) => line && !line.startsWith('(Use `node '));
  const end = lines.map((line) => /^Node\.js v\d/.test(line)).lastIndexOf(true);
  if (end < 1) return '';
  const until = lines.slice(0, end);
  // The place, the line of the source, a caret below it, and then the error; of some only its stack.
  const caret = until.findLastIndex((line) => /^\s*\^+$/.test(line));
  const named = until.findLastIndex((line) => /^\w*Error\b/.test(line));
  const start = Math.min(caret >= 0 ? caret + 1 : Math.max(named, 0), end - 1);
  const own = (line) => line.includes(`${tree}/`) && !line.includes('/node_modules/');
  const frame = lines.slice(start + 1, end).find((line) => /^\s+at .*:\d+:\d+\)?$/.test(line) && own(line))
    || until.slice(0, start).findLast((line) => /^\S+:\d+$/.test(line) && own(line));
  const place = frame ? ` (${frame.slice(frame.indexOf(`${tree}/`) + tree.length + 1).replace(/\)$/, '')})` : '';
  const error = until[start].replace(/ \{$/, '').replace(/^\[(.*)\]$/, '$1'); // up to Node 18, of one without a stack
  return `${error.slice(0, MOST)}${place}`;
}

function tail(log, from) {
  const file = fs.openSync(log, 'r');
  try {
    const { size } = fs.fstatSync(file);
    const begin = Math.max(from, size - LOOKED_AT);
    const content = Buffer.alloc(Math.max(0, size - begin));
    return content.toString('utf8', 0, fs.readSync(file, content, 0, content.length, begin));
  } finally { fs.closeSync(file); }
}

module.exports = { lastWords };
