// Waiting for control groups: memory is charged to the group in which it was first touched, and stays there.
'use strict';
const fs = require('fs');

const LOOK = 2; // ms
const PATIENCE = 1000; // ms: the supervisor may have died; the next one makes up for it

/** Calls `then` once process `pid` has been moved out of our own groups, or at once where we are in none. */
function whenConfined(pid, then) {
  const ours = groups('self');
  if (!ours.length) return then();
  const began = Date.now();
  const timer = setInterval(() => {
    const theirs = new Set(groups(pid));
    if (ours.some((line) => theirs.has(line)) && Date.now() - began < PATIENCE) return;
    clearInterval(timer);
    then();
  }, LOOK);
  return undefined;
}

/** Lines of proc(5), /proc/PID/cgroup, that are the supervisor's. */
function groups(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').filter((line) => line.includes('/fourfold/'));
  } catch { return []; } // it has ended
}

module.exports = { whenConfined };
