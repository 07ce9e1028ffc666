-- One of mixed.sh's writes, for pgbench: a customer's new order with four lines, and a change of the price of an
-- old one, both at the expense of the customer's balance: what all orders and all balances sum to stays. Keys of
-- new orders are the client's own. What two clients do to a row may change places without a difference in the end.
\set number :number + 1
\set new :new_orders + 1000000 * :client_id + :number
\set old_number random(1, :orders)
\set old (:old_number / 8) * 32 + :old_number % 8
\set customer random(1, :customers)
\set part random(1, :parts)
\set supplier :part % :suppliers + 1
\set price random(1000, 400000)
\set change random(-100, 100)
\set day random(0, 2400)
BEGIN;
UPDATE customer SET c_acctbal = c_acctbal - :price - :change WHERE c_custkey = :customer;
UPDATE orders SET o_totalprice = o_totalprice + :change WHERE o_orderkey = :old;
UPDATE lineitem SET l_extendedprice = l_extendedprice + :change WHERE l_orderkey = :old AND l_linenumber = 1;
INSERT INTO orders VALUES (:new, :customer, 'O', :price, date '1992-01-01' + CAST(:day AS int), '3-MEDIUM', 'Clerk#000000001', 0, 'written beside queries');
INSERT INTO lineitem VALUES
    (:new, :part, :supplier, 1, 17, 21168.23, 0.04, 0.02, 'N', 'O', date '1992-01-10' + CAST(:day AS int), date '1992-01-20' + CAST(:day AS int), date '1992-01-15' + CAST(:day AS int), 'DELIVER IN PERSON', 'TRUCK', 'new'),
    (:new, :part, :supplier, 2, 36, 45983.16, 0.09, 0.06, 'N', 'O', date '1992-01-11' + CAST(:day AS int), date '1992-01-20' + CAST(:day AS int), date '1992-01-25' + CAST(:day AS int), 'TAKE BACK RETURN', 'MAIL', 'new'),
    (:new, :part, :supplier, 3, 8, 13309.60, 0.10, 0.02, 'A', 'F', date '1992-01-12' + CAST(:day AS int), date '1992-01-20' + CAST(:day AS int), date '1992-01-15' + CAST(:day AS int), 'NONE', 'AIR', 'new'),
    (:new, :part, :supplier, 4, 28, 28955.64, 0.05, 0.06, 'R', 'F', date '1992-01-13' + CAST(:day AS int), date '1992-01-20' + CAST(:day AS int), date '1992-01-25' + CAST(:day AS int), 'COLLECT COD', 'SHIP', 'new');
END;
