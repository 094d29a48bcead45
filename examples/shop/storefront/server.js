// The shop's front: lists what the catalog has, passes on what is ordered. Plain Node.
const http = require("node:http");
const { page } = require("./page");

const { HOST = "127.0.0.1", PORT = "8080", CATALOG_URL, ORDERS_URL, BANNER = "" } = process.env;
const PATIENCE = 3_000; // milliseconds for another service to answer
const FORM_LIMIT = 10_000; // bytes

const ask = (url, options) => fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE) });

/** What a service says at `url`, or null: the page is shown without it. */
async function listed(url) {
  try {
    const answer = await ask(url);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return await answer.json();
  } catch (error) {
    console.error(`storefront: cannot read ${url}: ${error.cause?.message ?? error.message}`);
    return null;
  }
}

async function show(response, said) {
  const [products, orders] = await Promise.all([listed(`${CATALOG_URL}/products`), listed(`${ORDERS_URL}/`)]);
  send(response, 200, page({ banner: BANNER, products, orders, said }), { "content-type": "text/html; charset=utf-8" });
}

async function order(request, response) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > FORM_LIMIT) return send(response, 413, "too large\n", { connection: "close" });
    parts.push(part);
  }
  const form = new URLSearchParams(Buffer.concat(parts).toString());
  const body = new URLSearchParams({ sku: form.get("sku") ?? "", quantity: form.get("quantity") ?? "1" });
  const answer = await ask(ORDERS_URL, { method: "POST", body }).catch(() => null);
  const said = answer?.ok ? "Thank you! It is being packed." : "Sorry, that could not be ordered.";
  send(response, 303, "", { location: `/?said=${encodeURIComponent(said)}` });
}

function send(response, status, body, headers = {}) {
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(body);
}

async function handle(request, response) {
  if (stopping) response.setHeader("connection", "close");
  const { pathname, searchParams } = new URL(request.url, "http://shop");
  if (pathname === "/healthz") send(response, 200, "ok\n");
  else if (pathname === "/" && ["GET", "HEAD"].includes(request.method)) await show(response, searchParams.get("said"));
  else if (pathname === "/order" && request.method === "POST") await order(request, response);
  else send(response, 404, "not found\n");
}

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(`storefront: ${request.method} ${request.url}:`, error);
    if (response.headersSent) response.destroy();
    else send(response, 500, "something went wrong\n", { connection: "close" });
  });
});

// Longer than a gateway keeps an idle connection, so that we never close one it is about to use.
server.keepAliveTimeout = 75_000;

let stopping = false;
process.once("SIGTERM", () => {
  stopping = true;
  server.close(() => process.exit(0)); // once the requests in flight have been answered
  server.closeIdleConnections();
});

server.listen(Number(PORT), HOST, () => console.log(`storefront: on http://${HOST}:${PORT}`));
