// The control socket: JSON, one object per line, each way. All that comes is bounded, and nobody who does not read is
// waited for.
'use strict';
const fs = require('fs');
const net = require('net');

const LINE = 4 * 1024 * 1024; // of a request: what Linux takes as arguments and environment of a program, twice
const BEHIND = 4 * 1024 * 1024; // unread bytes with which a connection is given up; who comes again asks for `list`
const CONNECTIONS = 32; // at once
const NEWLINE = 10;

class Control {
  /** `does`: name of a request -> (request) -> answer; what it throws is the answer's `error`. */
  constructor(does) {
    this.does = new Map(Object.entries(does));
    this.connections = new Set();
  }

  /** The socket is there, mode 0600, when this returns. */
  listen(folder, name) {
    const here = process.cwd();
    const before = process.umask(0o177);
    process.chdir(folder); // the whole path may be longer than a socket's name can be
    fs.rmSync(name, { force: true });
    const server = net.createServer((socket) => this.welcome(socket));
    server.maxConnections = CONNECTIONS;
    server.on('error', (error) => {
      console.error(`cannot listen at ${folder}/${name}: ${error.message}`);
      process.exit(1);
    });
    server.listen(name);
    process.chdir(here);
    process.umask(before);
  }

  tell(event) { for (const socket of this.connections) this.write(socket, event); }

  welcome(socket) {
    let parts = [];
    let size = 0;
    this.connections.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.connections.delete(socket));
    socket.on('data', (data) => {
      for (let from = 0; from < data.length && !socket.destroyed;) {
        const end = data.indexOf(NEWLINE, from);
        const part = data.subarray(from, end < 0 ? data.length : end);
        parts.push(part);
        size += part.length;
        if (size > LINE) {
          this.write(socket, { id: null, error: `cannot read a request of more than ${LINE} bytes` });
          socket.destroySoon();
          parts = [];
          return;
        }
        if (end < 0) return;
        const line = Buffer.concat(parts).toString();
        parts = [];
        size = 0;
        from = end + 1;
        if (line.trim()) this.write(socket, this.answer(line));
      }
    });
  }

  answer(line) {
    let asked;
    try { asked = JSON.parse(line); } catch { return { id: null, error: 'cannot read a request: it is not JSON' }; }
    if (asked === null || typeof asked !== 'object' || Array.isArray(asked)) {
      return { id: null, error: 'cannot read a request: it is not an object' };
    }
    const id = typeof asked.id === 'number' ? asked.id : null;
    const act = this.does.get(asked.do);
    if (act === undefined) return { id, error: `cannot do ${JSON.stringify(asked.do)}: it is not known` };
    try { return { id, ok: act(asked) }; } catch (error) { return { id, error: error.message }; }
  }

  write(socket, message) {
    if (socket.destroyed) return;
    socket.write(`${JSON.stringify(message)}\n`);
    if (socket.writableLength > BEHIND) socket.destroy();
  }
}

module.exports = { Control };
