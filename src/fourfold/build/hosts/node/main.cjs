// The host of a group of Node.js services, for Node.js 18 or later: forks a worker for each guest that it is told to
// start on its control socket (../README.md), and takes all of them with it when it ends.
//
// Usage: node main.cjs SETPRIV, the path of setpriv(1), with FOURFOLD_HOST.
'use strict';
const path = require('path');
const { Control } = require('./control.cjs');
const { Guests } = require('./guests.cjs');
const { Waiting } = require('./waiting.cjs');

const guests = new Guests(process.argv[2], (event) => control.tell(event));
const waiting = new Waiting((guest, seconds) => control.tell({
  event: 'note', guest, kind: 'stuck', said: `takes no connections for ${Math.round(seconds)} s: its event loop is blocked`,
}));

const control = new Control({
  start: (asked) => guests.start(asked),
  stop: ({ guest, run, grace }) => guests.stop(guest, run, grace),
  kill: ({ guest, run }) => guests.kill(guest, run),
  list: () => ({ kind: 'node', pid: process.pid, guests: guests.running(), ended: guests.ended() }),
  forget: ({ guest, run }) => guests.forget(guest, run),
  usage: () => ({ guests: waiting.look(guests.ports()), whole: { heap_bytes: null, heap_most: null } }),
});

/** Workers first; what is left of them when the supervisor loses patience dies with us. */
function end() {
  guests.endAll(() => process.exit(0));
}

process.on('SIGTERM', end);
process.on('SIGINT', end);
process.on('SIGHUP', () => {});
const { folder } = JSON.parse(process.env.FOURFOLD_HOST);
control.listen(path.join(folder, 'own'), 'control.sock');
// From now on nothing that goes wrong in here is a reason for all members to end.
process.on('uncaughtException', (error) => console.error(error));
