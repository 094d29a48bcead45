// Connections that nobody takes: the kernel has accepted them, the worker has not, since its event loop is blocked.
// Until it does they stand in /proc/net/tcp without an inode (proc(5)); so nothing has to run inside of the workers.
'use strict';
const fs = require('fs');

const OPEN = new Set(['01', '08']); // ESTABLISHED, CLOSE_WAIT: whoever asked may have given up
const STUCK = 5; // seconds

class Waiting {
  constructor(tell) {
    this.tell = tell;
    this.since = new Map(); // "PORT PEER" -> when it was first seen, seconds
    this.told = new Set(); // guests
  }

  /** Port -> guest: to {guest: {busy, longest}}, connections that wait, and seconds that the oldest is known to. */
  look(ports, now = process.uptime()) {
    const seen = new Map();
    const found = {};
    for (const guest of ports.values()) found[guest] = { busy: 0, longest: 0 };
    for (const [port, peer] of ports.size ? unaccepted() : []) {
      if (!ports.has(port)) continue;
      const since = this.since.get(`${port} ${peer}`) ?? now;
      seen.set(`${port} ${peer}`, since);
      const one = found[ports.get(port)];
      one.busy += 1;
      one.longest = Math.max(one.longest, now - since);
    }
    this.since = seen;
    for (const [guest, { longest }] of Object.entries(found)) {
      if (longest < STUCK) this.told.delete(guest);
      else if (!this.told.has(guest)) { this.told.add(guest); this.tell(guest, longest); }
    }
    return found;
  }
}

/** [local port, address of the peer] of each. */
function* unaccepted() {
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text;
    try { text = fs.readFileSync(table, 'latin1'); } catch { continue; } // no IPv6 here
    for (const line of text.split('\n').slice(1)) {
      const [, local, peer, state, , , , , , inode] = line.trim().split(/\s+/);
      if (inode === '0' && OPEN.has(state)) yield [parseInt(local.slice(local.lastIndexOf(':') + 1), 16), peer];
    }
  }
}

module.exports = { Waiting };
