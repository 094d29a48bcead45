'use strict';
const express = require('express');

const QUOTES = [
  'Simple things should be simple, complex things should be possible. (Alan Kay)',
  'Premature optimization is the root of all evil. (Donald Knuth)',
  'The cheapest, fastest and most reliable components are those that are not there. (Gordon Bell)',
];

const app = express();
app.disable('x-powered-by');
app.get('/quotes', (request, response) => response.json({ quotes: QUOTES }));
app.get('/quotes/:number', (request, response) => {
  const quote = QUOTES[Number(request.params.number)];
  if (quote === undefined) response.status(404).json({ error: 'there is no such quote' });
  else response.json({ quote });
});
app.get('/healthz', (request, response) => response.send('ok\n'));

const server = app.listen(process.env.PORT, process.env.HOST, () => console.log('quotes: ready'));

// Connections in use are finished; the process ends with the last of them.
process.on('SIGTERM', () => { server.close(); server.closeIdleConnections(); });
