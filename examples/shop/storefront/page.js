// The one page, as a string. Everything that comes from elsewhere is escaped.
const escape = require("escape-html");

const money = (cents) => (cents / 100).toFixed(2);

const style = `
  body { font: 17px/1.5 Georgia, serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #2b2a27; background: #fbf9f4; }
  h1 { font-weight: normal; margin-bottom: 0; }
  .banner { color: #7a3b1d; font-style: italic; margin-top: 0; }
  .product { display: flex; gap: 1rem; align-items: baseline; padding: .7rem 0; border-bottom: 1px solid #ddd6c6; }
  .product div { flex: 1; }
  small { color: #77736a; }
  button { font: inherit; border: 1px solid #7a3b1d; background: none; color: #7a3b1d; border-radius: 4px; padding: .1rem .8rem; cursor: pointer; }
  button:hover { background: #7a3b1d; color: #fff; }
  .said { background: #eef3e2; padding: .5rem 1rem; border-radius: 4px; }
  a { color: #7a3b1d; }`;

const product = (p) => `
  <form class="product" method="post" action="/order">
    <div>${escape(p.name)}<br><small>${escape(p.note)}</small></div>
    <span>${money(p.price)}</span>
    <input type="hidden" name="sku" value="${escape(p.sku)}">
    <button>Order</button>
  </form>`;

const order = (o) => `<li>${escape(String(o.quantity))} × ${escape(o.name)}, ${money(o.total)}</li>`;

function page({ banner, products, orders, said }) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The shop</title>
<style>${style}</style>
<h1>The shop</h1>
<p class="banner">${escape(banner)}</p>
${said ? `<p class="said">${escape(said)}</p>` : ""}
${products ? products.map(product).join("") : "<p>The catalog does not answer just now.</p>"}
<h2>Last orders</h2>
${orders ? `<ul>${orders.slice(-5).reverse().map(order).join("") || "<li>None yet.</li>"}</ul>` : "<p>The orders do not answer just now.</p>"}
<p><a href="/docs">The shop's API</a></p>
</html>
`;
}

module.exports = { page };
