// As web.py, for a Node.js group: behaves, or misbehaves, as its environment and its requests ask.

import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { isMainThread, Worker } from 'node:worker_threads';

const env = process.env;
const hoard = [];
let warm = false;
let draining = false;

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function hog(size) {
  for (let taken = 0; taken < size; taken += 1 << 20) hoard.push(Buffer.alloc(1 << 20, 'x'));
}

/** Take all CPU there is, in so many threads. */
async function spin({ seconds = '1', processes = '1' }) {
  const loop = `const end = Date.now() + ${Number(seconds) * 1000}; while (Date.now() < end);`;
  const ended = Array.from({ length: Number(processes) }, () => new Promise((done) => {
    new Worker(loop, { eval: true }).on('exit', done);
  }));
  await Promise.all(ended);
}

function flood({ lines = '100000' }) {
  for (let number = 0; number < Number(lines); number += 1) console.log(`line ${number} ${'x'.repeat(80)}`);
}

/** Start programs that sleep, for so many seconds. */
async function forkBomb({ seconds = '0' }) {
  const end = Date.now() + Number(seconds) * 1000;
  do {
    for (let made = 0; made < 40; made += 1) execFile('sleep', ['600']).on('error', () => {});
    await sleep(0.1);
  } while (Date.now() < end);
}

const acts = {
  '/': () => `hello from ${env.VERSION ?? 'unversioned'}\n`,
  '/env': () => JSON.stringify(env),
  '/pid': () => String(process.pid),
  '/slow': ({ seconds = '1' }) => sleep(Number(seconds)),
  '/hog': ({ bytes }) => hog(Number(bytes)),
  '/spin': spin,
  '/block': ({ seconds = '1' }) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(seconds) * 1000),
  '/fork-bomb': forkBomb,
  '/flood': flood,
  '/crash': ({ code = '3' }) => process.exit(Number(code)),
  '/unready': () => { env.NEVER_READY ??= 'from now on'; },
};

async function answer(request, response) {
  const url = new URL(request.url, 'http://web');
  const query = Object.fromEntries(url.searchParams);
  response.setHeader('X-Version', env.VERSION ?? 'unversioned');
  if (draining) response.setHeader('Connection', 'close');
  if (!warm) return response.writeHead(503).end('warming up\n');
  if (url.pathname === '/healthz') {
    const well = env.NEVER_READY === undefined;
    return response.writeHead(well ? 200 : 503).end(well ? 'ok\n' : 'not ready\n');
  }
  if (url.pathname === '/echo') return request.pipe(response);
  const act = acts[url.pathname];
  if (act === undefined) return response.writeHead(404).end('not found\n');
  const said = await act(query);
  return response.end(typeof said === 'string' ? said : 'done\n');
}

async function main() {
  if (env.EXIT_CODE !== undefined) {
    console.error('web: cannot start: told to exit');
    process.exit(Number(env.EXIT_CODE));
  }
  if (env.IGNORE_TERM !== undefined) process.on('SIGTERM', () => {});
  await sleep(Number(env.STARTUP_DELAY ?? 0));
  hog(Number(env.MEMORY_HOG ?? 0));
  if (env.CRASH_AFTER !== undefined) setTimeout(() => process.exit(3), Number(env.CRASH_AFTER) * 1000);
  const server = createServer(answer);
  const port = Number(env.PORT ?? 8080) + (env.WRONG_PORT === undefined ? 0 : 1);
  server.listen(port, env.HOST ?? '127.0.0.1', () => {
    console.log(`web ${env.VERSION ?? 'unversioned'}: listening on ${port}`);
    setTimeout(() => { warm = true; }, Number(env.WARM_UP ?? 0) * 1000);
  });
  if (env.IGNORE_TERM === undefined) {
    process.on('SIGTERM', () => {
      draining = true;
      server.close(() => { console.log('web: every request is answered, leaving'); process.exit(0); });
      setInterval(() => server.closeIdleConnections(), 10);
    });
  }
}

if (isMainThread) await main();
