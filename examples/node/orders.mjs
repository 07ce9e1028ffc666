// A shop: orders come in over a pool of connections, and revenue is asked of the same rows.
//
// Run:    (cd examples/node && npm ci)
//         node examples/node/orders.mjs
// Prints:
//         250 of 300 orders placed
//         Camera: 100 sold, 50 left, revenue 36000.00
//         Film: 100 sold, 900 left, revenue 500.00
//         Lens: 50 sold, 0 left, revenue 9975.00
//         every order has its items: true

import pg from 'pg'

const ORDERS = 300
const pool = new pg.Pool({
  host: process.env.PGHOST ?? '127.0.0.1',
  port: Number(process.env.PGPORT ?? 5432),
  user: process.env.PGUSER ?? 'postgres',
  database: 'postgres',
  max: 8,
})

/** Runs `work` in a transaction. */
async function transaction(work) {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

/** Takes items off the stock and writes the order; what is sold out (CHECK, 23514) undoes all of it. */
async function order(customer, product, count) {
  try {
    await transaction(async (client) => {
      const { rows } = await client.query('INSERT INTO js_order (customer) VALUES ($1) RETURNING id', [customer])
      const sold = await client.query('UPDATE js_product SET stock = stock - $1 WHERE id = $2 RETURNING price', [count, product])
      await client.query('INSERT INTO js_item VALUES ($1, $2, $3, $4)', [rows[0].id, product, count, sold.rows[0].price])
    })
    return true
  } catch (error) {
    if (error.code === '23514') return false
    throw error
  }
}

await pool.query(`
  DROP TABLE IF EXISTS js_item, js_order, js_product;
  CREATE TABLE js_product (id int PRIMARY KEY, name text NOT NULL, price numeric(8,2) NOT NULL,
    stock int NOT NULL CHECK (stock >= 0));
  CREATE TABLE js_order (id serial PRIMARY KEY, customer text NOT NULL, at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE js_item (order_id int REFERENCES js_order, product_id int REFERENCES js_product,
    count int NOT NULL, price numeric(8,2) NOT NULL, PRIMARY KEY (order_id, product_id));
  INSERT INTO js_product VALUES (1, 'Camera', 360, 150), (2, 'Film', 5, 1000), (3, 'Lens', 199.5, 50)`)

const orders = Array.from({ length: ORDERS }, (_, i) => order(`customer ${i}`, 1 + (i % 3), 1))
const placed = (await Promise.all(orders)).filter((done) => done).length
console.log(`${placed} of ${ORDERS} orders placed`)

const revenue = await pool.query(`
  SELECT p.name, p.stock, sum(i.count) AS sold, sum(i.count * i.price) AS revenue
  FROM js_product p JOIN js_item i ON i.product_id = p.id GROUP BY p.id, p.name, p.stock ORDER BY p.name`)
for (const row of revenue.rows) console.log(`${row.name}: ${row.sold} sold, ${row.stock} left, revenue ${row.revenue}`)

const check = await pool.query('SELECT (SELECT count(*) FROM js_order) = (SELECT count(*) FROM js_item) AS whole')
console.log(`every order has its items: ${check.rows[0].whole}`)
await pool.end()
