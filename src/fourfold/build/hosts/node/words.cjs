// The last words of a worker, from its log.
'use strict';
const fs = require('fs');

const MOST = 1000;
const LOOKED_AT = 16 * 1024;

/** What it printed last behind byte `from`, at most `MOST` characters of it. Of an error that nobody caught: that one. */
function lastWords(log, from) {
  let text;
  try { text = tail(log, from); } catch { return ''; }
  // The log's beginning is punched out when it grows: it reads as zeros.
  const lines = text.replace(/\0+/g, '').split('\n').map((line) => line.trimEnd()).filter((line) => line);
  if (/^Node\.js v\d/.test(lines[lines.length - 1] || '')) {
    lines.pop();
    const start = lines.map((line) => /^(\w+ )?\[?\w*Error\b/.test(line)).lastIndexOf(true);
    if (start >= 0) {
      const error = lines.slice(start);
      const stack = error.findIndex((line) => /^\s+at /.test(line));
      return error.slice(0, stack > 0 ? stack + 1 : 5).join('\n').slice(0, MOST);
    }
  }
  return lines.slice(-5).join('\n').slice(-MOST);
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
