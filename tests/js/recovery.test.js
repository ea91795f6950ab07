// The official Centrifuge client on a network that fails, and on servers that go down.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { client, collect, connected, next, pause, subscribed, until } from './harness/client.js';
import { comment, commentId, message } from './harness/envelopes.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { token } from './harness/token.js';

const EVENTS = 1500;
const CONFIG = `
linger = { medium = 0.1, low = 0.3 }
limits = { connections_per_user = 1000 }
history = { events = 10000 }
`;

/** Publishes comments 1 to `EVENTS` to thread 456, more than 200 a second, of all priorities. */
async function publishAll(server) {
  const begun = Date.now();
  for (let id = 1; id <= EVENTS; id += 1) {
    await server.publish(comment(456, id, ['high', 'medium', 'low'][id % 3]));
    const ahead = begun + id * 4 - Date.now();
    if (ahead > 0) await pause(ahead);
  }
}

/** Cuts the proxy's connections at random moments until `done` resolves. Gives how often. */
async function cutUntil(proxy, done) {
  let cuts = 0;
  let over = false;
  const stop = () => {
    over = true;
  };
  done.then(stop, stop);
  while (!over) {
    await pause(Math.random() * 300);
    proxy.cut();
    cuts += 1;
  }
  return cuts;
}

function assertEachOnceInOrder(publications) {
  const expected = Array.from({ length: EVENTS }, (_, at) => at + 1);
  assert.deepEqual(publications.map(commentId), expected);
  assert.deepEqual(publications.map(({ offset }) => offset), expected);
}

test('a subscription gets every event once in order across cuts', async (t) => {
  const server = await Server.start(t, CONFIG);
  const proxy = await Proxy.to(t, server);
  const centrifuge = client(t, proxy, { token: token(7) });
  await connected(centrifuge);
  const { subscription, publications } = await subscribed(centrifuge, 'thread.456');
  const returns = collect(subscription, 'subscribed');
  const publishing = publishAll(server);
  const cuts = await cutUntil(proxy, publishing);
  await publishing;
  await until('the last event', () => publications.length >= EVENTS);
  assertEachOnceInOrder(publications);
  assert.ok(cuts > 10 && returns.length > 5, `${cuts} cuts, ${returns.length} returns`);
  assert.ok(returns.every(({ wasRecovering, recovered }) => wasRecovering && recovered));
});

test('a server-side subscription gets every event once in order across cuts', async (t) => {
  const server = await Server.start(t, CONFIG);
  const proxy = await Proxy.to(t, server);
  const centrifuge = client(t, proxy, { token: token(7), query: '?channel=thread.456' });
  const publications = collect(centrifuge, 'publication');
  const joins = collect(centrifuge, 'subscribed');
  await connected(centrifuge);
  await until('the subscription', () => joins.length === 1);
  const publishing = publishAll(server);
  const cuts = await cutUntil(proxy, publishing);
  await publishing;
  await until('the last event', () => publications.length >= EVENTS);
  assertEachOnceInOrder(publications);
  const returns = joins.slice(1);
  assert.ok(cuts > 10 && returns.length > 5, `${cuts} cuts, ${returns.length} returns`);
  assert.ok(returns.every(({ wasRecovering, recovered }) => wasRecovering && recovered));
});

test('a position that history no longer covers is reported as not recovered', async (t) => {
  const server = await Server.start(t, 'history = { events = 5 }');
  const proxy = await Proxy.to(t, server);
  const centrifuge = client(t, proxy, { token: token(7) });
  await connected(centrifuge);
  const { subscription, publications } = await subscribed(centrifuge, 'thread.456');
  const returned = next(subscription, 'subscribed');
  proxy.listener.close();
  proxy.cut();
  await next(centrifuge, 'connecting');
  await server.publish(Array.from({ length: 20 }, (_, at) => comment(456, at + 1)));
  proxy.listener.listen(proxy.port, proxy.host);
  const { wasRecovering, recovered } = await returned;
  assert.deepEqual([wasRecovering, recovered, publications.length], [true, false, 0]);
  await server.publish(comment(456, 21));
  await until('the next event', () => publications.length === 1);
  assert.equal(publications[0].offset, 21);
});

test('clients of a server that goes down get what waits, and come back to another', async (t) => {
  const first = await Server.start(t);
  const second = await Server.start(t);
  const proxy = await Proxy.to(t, first);
  const centrifuge = client(t, proxy, { token: token(7) });
  await connected(centrifuge);
  const { subscription, publications } = await subscribed(centrifuge, 'thread.456');
  await first.publish(comment(456, 1, 'low'));
  const reconnecting = next(centrifuge, 'connecting');
  const returned = next(subscription, 'subscribed');
  proxy.server = second;
  assert.equal(await first.terminate(), 0);
  assert.equal((await reconnecting).code, 3001);
  assert.deepEqual(publications.map(commentId), [1]);
  const { wasRecovering, recovered } = await returned;
  assert.deepEqual([wasRecovering, recovered], [true, false], 'the other server has no history of it');
  await second.publish(comment(456, 2));
  await until('the event of the other server', () => publications.length === 2);
  assert.equal(commentId(publications[1]), 2);
});

test('a client that is told to try later by a draining server finds its way back', async (t) => {
  const first = await Server.start(t, 'drain = { batch = 1, pause = 0.5 }');
  const second = await Server.start(t);
  const staying = client(t, first, { token: token(8) });
  await connected(staying);
  const proxy = await Proxy.to(t, first);
  const centrifuge = client(t, proxy, { token: token(7, { channels: ['user.7'] }) });
  const publications = collect(centrifuge, 'publication');
  const errors = collect(centrifuge, 'error');
  await connected(centrifuge);
  const down = first.terminate();
  await next(centrifuge, 'connecting');
  const back = next(centrifuge, 'connected');
  assert.equal(await down, 0);
  assert.ok(errors.length > 0, 'it was turned away at first');
  proxy.server = second;
  await back;
  await second.publish(message(7, 1));
  await until('the message', () => publications.length === 1);
});
