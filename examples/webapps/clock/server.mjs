import { createServer } from 'node:http';

const zone = process.env.ZONE ?? 'UTC';

const server = createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok\n');
  const time = new Date().toLocaleTimeString('en-GB', { timeZone: zone });
  response.setHeader('Content-Type', 'application/json');
  return response.end(`${JSON.stringify({ zone, time })}\n`);
});

server.listen(process.env.PORT, process.env.HOST, () => console.log(`clock: ready, showing ${zone}`));
process.on('SIGTERM', () => { server.close(); server.closeIdleConnections(); });
