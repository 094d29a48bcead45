// Guests: a worker process each, in a session of its own, whose log is its standard output and error.
'use strict';
const { spawn } = require('child_process');
const fs = require('fs');
const { signals } = require('os').constants;
const { whenConfined } = require('./confined.cjs');
const { lastWords } = require('./words.cjs');

// After some thousand requests a worker takes a third of what it does with V8's usual settings, at the same rate:
// the space for new objects stays small. What the member's own command line says comes later, and wins.
const FRUGAL = ['--optimize-for-size'];
// The kernel kills the worker once this process is gone (prctl(2), PR_SET_PDEATHSIG; it outlives execve). If that
// was before it was asked to, the parent is another one already. It begins when we say so.
const BEGIN = '[ "$PPID" = "$0" ] && read -r FOURFOLD_BEGIN || exit 137; unset FOURFOLD_BEGIN; exec "$@" </dev/null';
const DIES_WITH_US = ['--pdeathsig', 'KILL', '/bin/sh', '-c', BEGIN];

const { FOURFOLD_HOST: _, ...OF_THE_GROUP } = process.env;

class Guests {
  /** `setpriv`: the path of that program. */
  constructor(setpriv, tell) {
    this.setpriv = setpriv;
    this.tell = tell;
    this.known = new Map(); // "GUEST RUN" -> {guest, run, pid, port, …}, also those that ended and are not forgotten
    this.whenAllEnded = null;
  }

  start(asked) {
    check(asked);
    const { guest, run, tree, argv, env, port, log } = asked;
    const there = this.known.get(key(guest, run));
    if (there) return { pid: there.pid };
    if (this.whenAllEnded) throw new Error(`cannot start ${guest}: the host is ending`);
    const other = this.current().find((each) => each.guest === guest);
    if (other) throw new Error(`cannot start ${guest}: run ${other.run} of it is still there`);
    const output = fs.openSync(log, 'a');
    const from = fs.fstatSync(output).size;
    let child;
    try {
      child = spawn(this.setpriv, [...DIES_WITH_US, String(process.pid), process.execPath, ...FRUGAL, ...argv], {
        cwd: tree, env: { ...OF_THE_GROUP, ...env }, stdio: ['pipe', output, output], detached: true,
      });
    } finally { fs.closeSync(output); }
    const worker = { guest, run, pid: child.pid, port, tree, log, from, end: null, asked: false, timer: null };
    child.on('error', () => {}); // of a start: it has no pid then
    if (child.pid === undefined) {
      const why = fs.existsSync(tree) ? 'the group has reached its limits of processes or memory' : `there is no ${tree}`;
      throw new Error(`cannot start ${guest}: ${why}`);
    }
    this.known.set(key(guest, run), worker);
    child.stdin.on('error', () => {}); // it has ended already
    whenConfined(child.pid, () => child.stdin.end('\n'));
    child.on('exit', (code, signal) => this.over(worker, code, signal));
    return { pid: worker.pid };
  }

  stop(guest, run, grace) {
    const worker = this.find(guest, run);
    if (typeof grace !== 'number' || !(grace >= 0)) throw new Error('cannot stop it: `grace` is not a number of seconds');
    worker.asked = true;
    signal(worker.pid, 'SIGTERM');
    clearTimeout(worker.timer);
    worker.timer = setTimeout(() => signal(-worker.pid, 'SIGKILL'), Math.min(grace * 1000, 0x7fffffff));
    return {};
  }

  kill(guest, run) {
    const worker = this.find(guest, run);
    worker.asked = true;
    signal(-worker.pid, 'SIGKILL');
    return {};
  }

  forget(guest, run) {
    const worker = this.known.get(key(guest, run));
    if (!worker || !worker.end) throw new Error(`cannot forget run ${run} of ${guest}: it has not ended here`);
    this.known.delete(key(guest, run));
    return {};
  }

  current() { return [...this.known.values()].filter((each) => !each.end); }

  running() { return this.current().map(({ guest, run, pid }) => ({ guest, run, pid })); }

  ended() { return [...this.known.values()].filter((each) => each.end).map((each) => each.end); }

  /** Port -> guest. */
  ports() { return new Map(this.current().filter((each) => each.port !== null).map((each) => [each.port, each.guest])); }

  endAll(then) {
    this.whenAllEnded = then;
    for (const worker of this.current()) { worker.asked = true; signal(worker.pid, 'SIGTERM'); }
    if (!this.current().length) then();
  }

  find(guest, run) {
    const worker = this.known.get(key(guest, run));
    if (!worker || worker.end) throw new Error(`cannot end run ${run} of ${guest}: it is not here`);
    return worker;
  }

  over(worker, code, ended) {
    clearTimeout(worker.timer);
    const { guest, run, pid, tree, log, from, asked } = worker;
    const number = ended === null ? null : signals[ended];
    const said = asked ? '' : lastWords(log, from, tree);
    worker.end = { event: 'ended', guest, run, code, signal: number, said };
    if (signal(-pid, 'SIGKILL')) {
      this.tell({ event: 'note', guest, kind: 'leak', said: 'it ended and left processes behind; they were killed' });
    }
    this.tell(worker.end);
    if (this.whenAllEnded && !this.current().length) this.whenAllEnded();
  }
}

/** False: there is no such process, or process group (a negative number). */
function signal(pid, name) {
  try { return process.kill(pid, name); } catch (error) {
    return error.code !== 'ESRCH';
  }
}

function key(guest, run) { return `${guest} ${run}`; }

function check({ guest, run, tree, argv, env, port, log }) {
  const text = (value) => typeof value === 'string' && value !== '' && !value.includes('\0');
  const wrong = (what) => { throw new Error(`cannot start ${text(guest) ? guest : 'a guest'}: ${what}`); };
  if (!Number.isInteger(run) && !text(run)) wrong('`run` is not a number');
  for (const [name, value] of Object.entries({ guest, tree, log })) {
    if (!text(value)) wrong(`\`${name}\` is not a text`);
  }
  if (!Array.isArray(argv) || !argv.length || !argv.every((word) => typeof word === 'string' && !word.includes('\0'))) {
    wrong('`argv` is not a list of a script and its arguments');
  }
  if (env === null || typeof env !== 'object' || Object.values(env).some((value) => typeof value !== 'string')) {
    wrong('`env` is not an object of texts');
  }
  if (port !== null && !Number.isInteger(port)) wrong('`port` is neither a number nor null');
}

module.exports = { Guests };
