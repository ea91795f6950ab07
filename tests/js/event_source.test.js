// The official EventSource of Node, which goes by the standard.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EventSource } from 'eventsource';

import { pause, until } from './harness/client.js';
import { comment, commentId } from './harness/envelopes.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { token } from './harness/token.js';

const CONFIG = `
linger = { medium = 0.1, low = 0.3 }
limits = { connections_per_user = 1000 }
history = { events = 10000 }
`;

/** Opens a stream, which is closed with the test `t`, and keeps what comes. */
async function open(t, server, query) {
  const source = new EventSource(`http://${server.host}:${server.port}/sse?${query}`);
  t.after(() => source.close());
  const seen = { messages: [], named: [], errors: [], opened: 0 };
  source.onmessage = (event) => seen.messages.push(event);
  source.onerror = (event) => seen.errors.push(event);
  source.onopen = () => {
    seen.opened += 1;
  };
  for (const name of ['unrecovered', 'disconnect', 'dropped']) {
    source.addEventListener(name, (event) => seen.named.push(event));
  }
  await until('the stream', () => seen.opened > 0);
  return { source, seen };
}

function ids(messages) {
  return messages.map(({ data }) => commentId({ data: JSON.parse(data) }));
}

test('onmessage sees bare envelopes, each with an id of its own', async (t) => {
  const server = await Server.start(t);
  const { seen } = await open(t, server, `channel=thread.1&channel=thread.2&token=${token(7)}`);
  for (const id of [1, 2, 3]) await server.publish(comment(1 + (id % 2), id));
  await until('the events', () => seen.messages.length >= 3);
  assert.deepEqual(ids(seen.messages), [1, 2, 3]);
  assert.equal(new Set(seen.messages.map(({ lastEventId }) => lastEventId)).size, 3);
  assert.ok(seen.messages.every(({ lastEventId }) => lastEventId.length > 0));
  assert.deepEqual(seen.named, []);
});

test('a stream gets every event once in order across cuts', async (t) => {
  const server = await Server.start(t, CONFIG);
  const proxy = await Proxy.to(t, server);
  const { seen } = await open(t, proxy, `channel=thread.1&token=${token(7)}`);
  const events = 1500;
  const cutting = (async () => {
    // The package takes ids from events alone, not the one with which a stream begins.
    await until('an event', () => seen.messages.length > 0);
    for (let cuts = 0; cuts < 4; cuts += 1) {
      const { opened } = seen;
      await pause(Math.random() * 500);
      proxy.cut();
      await until('the return', () => seen.opened > opened);
    }
  })();
  const begun = Date.now();
  for (let id = 1; id <= events; id += 1) {
    await server.publish(comment(1, id, ['high', 'medium', 'low'][id % 3]));
    const ahead = begun + id * 4 - Date.now();
    if (ahead > 0) await pause(ahead);
  }
  await cutting;
  await until('the last event', () => seen.messages.length >= events);
  assert.deepEqual(ids(seen.messages), Array.from({ length: events }, (_, at) => at + 1));
  assert.ok(seen.opened > 4, `${seen.opened} streams`);
  assert.deepEqual(seen.named, [], 'everything was recovered');
});

test('a client of a server that goes down finds the next, and learns what that one does not know', async (t) => {
  const first = await Server.start(t);
  const second = await Server.start(t);
  const proxy = await Proxy.to(t, first);
  const { source, seen } = await open(t, proxy, `channel=thread.1&token=${token(7)}`);
  await first.publish(comment(1, 1));
  await until('the event', () => seen.messages.length === 1);
  proxy.server = second;
  assert.equal(await first.terminate(), 0);
  await until('the return', () => seen.opened === 2);
  await until('the notice', () => seen.named.length === 1);
  assert.equal(seen.named[0].type, 'unrecovered');
  assert.deepEqual(JSON.parse(seen.named[0].data), { channels: ['thread.1'] });
  await second.publish(comment(1, 2));
  await until('the event', () => seen.messages.length === 2);
  assert.deepEqual(ids(seen.messages), [1, 2]);
  assert.equal(source.readyState, EventSource.OPEN);
});

test('an ended token is told, and the client stays away', async (t) => {
  const server = await Server.start(t, 'heartbeat = { expiry_grace = 1 }');
  const ends = Math.floor(Date.now() / 1000) + 2;
  const { source, seen } = await open(t, server, `channel=thread.1&token=${token(7, { exp: ends })}`);
  await until('the word', () => seen.named.length >= 1, 28_000);
  assert.equal(seen.named[0].type, 'disconnect');
  assert.equal(JSON.parse(seen.named[0].data).code, 3005);
  await until('the end', () => source.readyState === EventSource.CLOSED);
  assert.equal(seen.errors.at(-1).code, 401);
});
