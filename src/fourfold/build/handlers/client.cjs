// Client of the AWS Lambda Runtime API (2018-06-01) for Node.js 18 or later: asks for events, calls the handler, answers.
//
// Usage: node client.cjs HANDLER, with AWS_LAMBDA_RUNTIME_API and LAMBDA_TASK_ROOT. Speaks HTTP/1.1 on one kept
// connection by `net` alone: loading `http` would take longer than all the rest of a cold start.
'use strict';
const net = require('net');
const path = require('path');
const { pathToFileURL } = require('url');
const fs = require('fs');

const BASE = '/2018-06-01/runtime';
const [HOST, PORT] = (process.env.AWS_LAMBDA_RUNTIME_API || '127.0.0.1:9001').split(':');
const ROOT = process.env.LAMBDA_TASK_ROOT || '/var/task';
const STREAM = Symbol.for('fourfold.lambda.stream');
const END = Buffer.from('\r\n');

/** One connection: requests one after the other. */
class Connection {
  constructor() { this.socket = null; this.waiting = null; this.reset(); }

  reset() { this.chunks = []; this.size = 0; this.head = null; this.body = []; this.left = 0; this.chunked = false; }

  open() {
    if (this.socket && !this.socket.destroyed) return;
    this.reset();
    const socket = net.connect({ host: HOST, port: Number(PORT), noDelay: true });
    this.socket = socket;
    socket.on('data', (data) => { if (socket === this.socket) this.take(data); });
    const failed = (error) => {
      if (socket !== this.socket) return;
      this.socket = null;
      if (this.waiting) { const { reject } = this.waiting; this.waiting = null; reject(error); }
    };
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('the Runtime API has closed the connection')));
  }

  /** -> {status, headers, body}. Head and body go out in one write. */
  request(method, place, headers = {}, body = null) {
    return new Promise((resolve, reject) => {
      this.open();
      this.waiting = { resolve, reject };
      const length = body === null ? '' : `Content-Length: ${body.length}\r\n`;
      const head = Buffer.from(`${this.line(method, place)}${fields(headers)}${length}\r\n`);
      this.socket.write(body === null ? head : Buffer.concat([head, body]));
    });
  }

  /** Begin a request whose body comes in pieces; `done` settles with the answer. */
  begin(place, headers) {
    this.open();
    const done = new Promise((resolve, reject) => { this.waiting = { resolve, reject }; });
    done.catch(() => {});
    this.socket.write(`${this.line('POST', place)}${fields(headers)}Transfer-Encoding: chunked\r\n\r\n`);
    return done;
  }

  chunk(data, callback) {
    if (!this.socket) return callback(new Error('the Runtime API has closed the connection'));
    if (!data.length) return callback();
    this.socket.write(Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, END]), callback);
  }

  finish(trailers = {}) { if (this.socket) this.socket.write(`0\r\n${fields(trailers)}\r\n`); }

  line(method, place) { return `${method} ${BASE}${place} HTTP/1.1\r\nHost: ${HOST}:${PORT}\r\nUser-Agent: fourfold\r\n`; }

  take(data) {
    this.chunks.push(data); this.size += data.length;
    if (!this.head) {
      const all = this.all();
      const end = all.indexOf('\r\n\r\n');
      if (end < 0) { this.chunks = [all]; return; }
      this.head = parse(all.toString('latin1', 0, end));
      this.chunked = /chunked/i.test(this.head.headers['transfer-encoding'] || '');
      this.left = Number(this.head.headers['content-length'] || 0);
      this.keep(all.subarray(end + 4));
    }
    if (this.chunked ? this.unchunk() : this.size >= this.left) this.settle();
  }

  all() { return this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks); }

  keep(rest) { this.chunks = rest.length ? [rest] : []; this.size = rest.length; }

  /** True once the last chunk (RFC 9112, section 7.1) has come. */
  unchunk() {
    let all = this.all();
    for (;;) {
      const end = all.indexOf('\r\n');
      if (end < 0) break;
      const size = parseInt(all.toString('latin1', 0, end), 16);
      if (size === 0) {
        if (all.length < end + 4) break;
        this.keep(all.subarray(end + 4));
        return true;
      }
      if (all.length < end + 2 + size + 2) break;
      this.body.push(all.subarray(end + 2, end + 2 + size));
      all = all.subarray(end + 2 + size + 2);
    }
    this.keep(all);
    return false;
  }

  settle() {
    let body;
    if (this.chunked) body = Buffer.concat(this.body);
    else { const all = this.all() || Buffer.alloc(0); body = all.subarray(0, this.left); this.keep(all.subarray(this.left)); }
    const { resolve } = this.waiting;
    const answer = { ...this.head, body };
    this.waiting = null; this.head = null; this.body = [];
    if (/close/i.test(answer.headers.connection || '')) { this.socket.destroy(); this.socket = null; }
    resolve(answer);
  }
}

function fields(headers) {
  let text = '';
  for (const name in headers) text += `${name}: ${String(headers[name]).replace(/[\r\n]+/g, ' ')}\r\n`;
  return text;
}

function parse(head) {
  const [line, ...lines] = head.split('\r\n');
  const headers = {};
  for (const each of lines) {
    const colon = each.indexOf(':');
    headers[each.slice(0, colon).toLowerCase()] = each.slice(colon + 1).trim();
  }
  return { status: Number(line.split(' ')[1]), headers };
}

class NamedError extends Error { constructor(name, message) { super(message); this.name = name; } }

/** `folder/file.export.nested` -> the function, from CommonJS or an ES module. */
async function load(handler) {
  const folder = path.dirname(handler);
  const [file, ...names] = path.basename(handler).split('.');
  if (!names.length) throw new NamedError('Runtime.MalformedHandlerName', 'Bad handler');
  if (handler.includes('..')) throw new NamedError('Runtime.MalformedHandlerName', `'${handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const stem = path.resolve(ROOT, folder, file);
  let loaded;
  try { loaded = await loadModule(stem, path.join(folder, file)); } catch (error) {
    if (error instanceof SyntaxError) throw Object.assign(new NamedError('Runtime.UserCodeSyntaxError', String(error)), { stack: error.stack });
    if (error && error.code === 'MODULE_NOT_FOUND') throw Object.assign(new NamedError('Runtime.ImportModuleError', String(error)), { stack: error.stack });
    throw error;
  }
  const call = find(loaded, names) || find(loaded.default, names);
  if (call === undefined) throw new NamedError('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof call !== 'function') throw new NamedError('Runtime.HandlerNotFound', `${handler} is not a function`);
  return call;
}

function find(start, names) { return names.reduce((found, name) => (found === undefined || found === null ? undefined : found[name]), start); }

async function loadModule(stem, asked) {
  const place = ['', '.js', '.mjs', '.cjs'].map((end) => stem + end).find((each) => { try { return fs.statSync(each).isFile(); } catch { return false; } });
  if (place === undefined) {
    try { return require(require.resolve(asked, { paths: [ROOT] })); } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
      throw Object.assign(new Error(`Cannot find module '${path.basename(stem)}'`), { code: 'MODULE_NOT_FOUND' });
    }
  }
  if (place.endsWith('.mjs')) return import(pathToFileURL(place));
  try { return require(place); } catch (error) {
    if (error.code === 'ERR_REQUIRE_ESM' || error.code === 'ERR_REQUIRE_ASYNC_MODULE') return import(pathToFileURL(place));
    throw error;
  }
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms'] || 0);
  const json = (text) => { try { return text ? JSON.parse(text) : undefined; } catch { return undefined; } };
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    clientContext: json(headers['lambda-runtime-client-context']),
    identity: json(headers['lambda-runtime-cognito-identity']),
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

/** Calls it as AWS does: a promise that it returns counts, else its callback, else null once nothing is left to do. */
function call(handler, event, context) {
  return new Promise((resolve, reject) => {
    const done = (error, result) => {
      if (error !== undefined && error !== null) reject(error);
      else if (context.callbackWaitsForEmptyEventLoop) whenIdle(() => resolve(result));
      else resolve(result);
    };
    context.done = done;
    context.succeed = (result) => done(null, result);
    context.fail = (error) => done(error === undefined || error === null ? 'handled' : error);
    const returned = handler(event, context, done);
    if (returned && typeof returned.then === 'function') returned.then(resolve, reject);
    else whenIdle(() => resolve(null));
  }).finally(() => {
    whenIdle(null);
    if (connection.socket) connection.socket.ref();
  });
}

let idle = null;

/** After all that the handler has begun: our own connection does not count. The last one that asks is told. */
function whenIdle(then) {
  if (idle) process.removeListener('beforeExit', idle);
  idle = then;
  if (!then) return;
  if (connection.socket) connection.socket.unref();
  process.once('beforeExit', then);
}

function errorOf(error) {
  if (!(error instanceof Error) && !(error && typeof error === 'object' && error.name && error.message)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return { errorType: error.name || 'Error', errorMessage: error.message, trace: String(error.stack || '').split('\n') };
}

const connection = new Connection();

async function fail(place, error) {
  const told = errorOf(error);
  console.error(error);
  const headers = { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': told.errorType };
  await connection.request('POST', place, headers, Buffer.from(JSON.stringify(told)));
}

/** The writable that a streaming handler gets; its first write begins the answer. */
function responseStream(id) {
  const { Writable } = require('stream');
  let done = null;
  let kind = 'application/octet-stream';
  const start = () => {
    done ??= connection.begin(`/invocation/${id}/response`, {
      'Content-Type': kind, 'Lambda-Runtime-Function-Response-Mode': 'streaming',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    });
  };
  const stream = new Writable({
    write(data, encoding, callback) { start(); connection.chunk(Buffer.isBuffer(data) ? data : Buffer.from(data, encoding), callback); },
    final(callback) { start(); connection.finish(); done.then(() => callback(), callback); },
  });
  stream.setContentType = (value) => { kind = value; };
  stream.failed = async (error) => {
    if (done === null) return fail(`/invocation/${id}/error`, error);
    const told = errorOf(error);
    connection.finish({
      'Lambda-Runtime-Function-Error-Type': told.errorType,
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(told)).toString('base64'),
    });
    await done;
  };
  return stream;
}

globalThis.awslambda = {
  streamifyResponse(handler) { handler[STREAM] = true; return handler; },
  HttpResponseStream: {
    from(stream, metadata) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      stream.write(Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]));
      return stream;
    },
  },
};

async function answerStream(handler, id, event, context) {
  const stream = responseStream(id);
  const ended = new Promise((resolve, reject) => { stream.once('finish', resolve); stream.once('error', reject); });
  ended.catch(() => {});
  try {
    await handler(event, stream, context);
    if (!stream.writableEnded) stream.end();
    await ended;
  } catch (error) {
    console.error(error);
    await stream.failed(error);
  }
}

async function answer(handler, { headers, body }) {
  const id = headers['lambda-runtime-aws-request-id'];
  if (headers['lambda-runtime-trace-id']) process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  const context = contextOf(headers);
  let text;
  try {
    const event = JSON.parse(body.toString());
    if (handler[STREAM]) return await answerStream(handler, id, event, context);
    const result = await call(handler, event, context);
    text = JSON.stringify(result === undefined ? null : result);
    if (text === undefined) text = 'null';
  } catch (error) { return fail(`/invocation/${id}/error`, error); }
  await connection.request('POST', `/invocation/${id}/response`, { 'Content-Type': 'application/json' }, Buffer.from(text));
}

async function main() {
  let current = null;
  const broken = (kind) => async (error) => {
    const told = Object.assign(new NamedError(kind, String(error && error.message ? error.message : error)), { stack: error && error.stack });
    console.error(error);
    // Another connection: this one may be in the middle of something.
    const last = new Connection();
    const body = Buffer.from(JSON.stringify(errorOf(told)));
    const place = current ? `/invocation/${current}/error` : '/init/error';
    await last.request('POST', place, { 'Lambda-Runtime-Function-Error-Type': kind }, body).catch(() => {});
    process.exit(current ? 128 : 1);
  };
  process.on('uncaughtException', broken('Runtime.UncaughtException'));
  process.on('unhandledRejection', broken('Runtime.UnhandledPromiseRejection'));
  let handler;
  if (fs.existsSync(path.join(__dirname, 'compiled'))) require('./compiled.cjs').use(ROOT, path.resolve(__dirname, '../..'));
  try { handler = await load(process.env._HANDLER || process.argv[2]); } catch (error) {
    await fail('/init/error', error);
    process.exit(1);
  }
  for (;;) {
    const next = await connection.request('GET', '/invocation/next');
    if (next.status !== 200) throw new Error(`the Runtime API answered ${next.status}`);
    current = next.headers['lambda-runtime-aws-request-id'];
    await answer(handler, next);
    current = null;
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
