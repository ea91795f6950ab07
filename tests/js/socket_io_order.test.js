// The official Socket.IO client on a network that fails, and while it changes its transport.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { collect, next, pause, until } from './harness/client.js';
import { comment } from './harness/envelopes.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { WAYS, client, commentId } from './harness/socket_io.js';

for (const [way, options] of Object.entries(WAYS)) {
  test(`a client that recovers gets every event once in order across cuts ${way}`, async (t) => {
    const server = await Server.start(t, 'limits = { connections_per_user = 1000 }\nhistory = { events = 10000 }');
    const proxy = await Proxy.to(t, server);
    const socket = client(t, proxy, { ...options, query: { recover: 1, channel: 'thread.456' } });
    const events = [];
    socket.on('forum.comment.created', (envelope) => events.push(commentId(envelope)));
    const recovered = [];
    socket.on('connect', () => recovered.push(socket.recovered));
    await next(socket, 'connect');
    for (let id = 1; id <= 300; id += 1) {
      await server.publish(comment(456, id));
      await pause(3);
      if (id % 60 === 0) proxy.cut();
    }
    await until('the last event', () => events.length >= 300);
    assert.deepEqual(events, Array.from({ length: 300 }, (_, at) => at + 1));
    assert.ok(recovered.length > 2, `${recovered}`);
    assert.ok(recovered.slice(1).every(Boolean), `${recovered}`);
  });
}

test('events that come while a client upgrades come once and in order', async (t) => {
  const server = await Server.start(t, 'limits = { connections_per_user = 1000 }');
  for (let round = 1; round <= 8; round += 1) {
    const thread = 1000 + round;
    const socket = client(t, server, { query: { channel: `thread.${thread}` } });
    const events = collect(socket, 'forum.comment.created');
    await next(socket, 'connect');
    let count = 0;
    for (let after = 0; after < 20;) {
      count += 1;
      assert.ok(count < 2000, 'it upgrades in time');
      await server.publish(comment(thread, count));
      if (socket.io.engine.transport.name === 'websocket') after += 1;
    }
    await until('the last event', () => events.length >= count);
    assert.deepEqual(events.map(commentId), Array.from({ length: count }, (_, at) => at + 1));
    socket.disconnect();
  }
});
