// The official Centrifuge client where WebSockets are blocked: over answers that go on.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

import { collect, connected, next, pause, subscribed, until } from './harness/client.js';
import { comment, commentId, typing } from './harness/envelopes.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { token } from './harness/token.js';

const PATHS = { http_stream: 'connection/http_stream', sse: 'connection/sse' };

/** A client that has these transports to choose from. */
function client(t, server, transports, options = {}) {
  const at = (path) => `http://${server.host}:${server.port}/${path}`;
  const endpoints = transports.map((transport) => ({
    transport,
    endpoint: transport === 'websocket' ? `ws://${server.host}:${server.port}/ws` : at(PATHS[transport]),
  }));
  const centrifuge = new Centrifuge(endpoints, {
    websocket: WebSocket,
    eventsource: EventSource,
    emulationEndpoint: at('emulation'),
    minReconnectDelay: 5,
    maxReconnectDelay: 50,
    ...options,
  });
  t.after(() => centrifuge.disconnect());
  return centrifuge;
}

for (const transport of ['http_stream', 'sse']) {
  test(`${transport}: connects, subscribes, gets events in order, publishes, asks`, async (t) => {
    const server = await Server.start(t);
    const centrifuge = client(t, server, [transport], { token: token(7) });
    const context = await connected(centrifuge);
    assert.equal(context.transport, transport);
    const { subscription, publications } = await subscribed(centrifuge, 'thread.456');
    const sent = [1, 2, 3].map((id) => comment(456, id));
    for (const envelope of sent) await server.publish(envelope);
    await until('the comments', () => publications.length === 3);
    assert.deepEqual(publications.map((p) => [p.offset, commentId(p)]), [[1, 1], [2, 2], [3, 3]]);
    assert.deepEqual(publications[0].data.data, sent[0].data);
    await centrifuge.publish('thread.456', typing(7));
    await until('the typing', () => publications.length === 4);
    assert.equal(publications[3].info.user, '7');
    const history = await subscription.history({ limit: 10 });
    assert.equal(history.publications.length, 3);
    const presence = await subscription.presence();
    assert.deepEqual(Object.values(presence.clients).map((member) => member.user), ['7']);
    await assert.rejects(centrifuge.publish('thread.456', { event: 'no.such.event', data: {} }));
    assert.equal(centrifuge.state, 'connected');
  });

  test(`${transport}: recovers what it missed`, async (t) => {
    const server = await Server.start(t);
    const proxy = await Proxy.to(t, server);
    const centrifuge = client(t, proxy, [transport], { token: token(7) });
    await connected(centrifuge);
    const { publications } = await subscribed(centrifuge, 'thread.456');
    const count = 60;
    for (let id = 1; id <= count; id += 1) {
      await server.publish(comment(456, id));
      if (id % 15 === 0) proxy.cut();
      await pause(5);
    }
    await until('the comments', () => publications.length >= count);
    assert.deepEqual(publications.map(commentId), Array.from({ length: count }, (_, at) => at + 1));
  });

  test(`${transport}: pings keep it, and a drain tells it to come back`, async (t) => {
    const server = await Server.start(t, '[heartbeat]\nping = 2\npong = 1\n');
    const centrifuge = client(t, server, [transport], { token: token(7) });
    await connected(centrifuge);
    const lost = collect(centrifuge, 'connecting');
    await pause(6_000);
    assert.equal(centrifuge.state, 'connected');
    assert.deepEqual(lost, []);
    const told = next(centrifuge, 'connecting');
    assert.equal(await server.terminate(), 0);
    assert.equal((await told).code, 3001);
  });

  test(`${transport}: a bad token keeps it away`, async (t) => {
    const server = await Server.start(t);
    const centrifuge = client(t, server, [transport], { token: token(7, { secret: 'another' }) });
    const refused = next(centrifuge, 'disconnected');
    centrifuge.connect();
    assert.equal((await refused).code, 3500);
  });

  test(`${transport}: a client that closes is gone`, async (t) => {
    const server = await Server.start(t);
    const centrifuge = client(t, server, [transport], { token: token(7) });
    await connected(centrifuge);
    const connections = async () => {
      const answer = await fetch(`http://${server.host}:${server.port}/health`);
      return (await answer.json()).metrics.connections;
    };
    assert.equal(await connections(), 1);
    centrifuge.disconnect();
    await until('its end', async () => (await connections()) === 0);
  });
}

test('a client whose WebSockets are blocked falls back by itself', async (t) => {
  const server = await Server.start(t);
  // A proxy as companies have them: it knows HTTP, and not upgrades.
  const proxy = createServer(async (request, response) => {
    const body = [];
    for await (const piece of request) body.push(piece);
    const answer = await fetch(`http://${server.host}:${server.port}${request.url}`, {
      method: request.method,
      body: body.length > 0 ? Buffer.concat(body) : undefined,
      headers: { 'content-type': request.headers['content-type'] ?? 'text/plain' },
    }).catch(() => undefined);
    if (!answer) return response.destroy();
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    try {
      for await (const piece of answer.body ?? []) response.write(piece);
      response.end();
    } catch {
      response.destroy();
    }
  });
  proxy.on('upgrade', (_, socket) => socket.destroy());
  await new Promise((ready) => proxy.listen(0, '127.0.0.1', ready));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const way = { host: '127.0.0.1', port: proxy.address().port };
  const centrifuge = client(t, way, ['websocket', 'http_stream', 'sse'], { token: token(7) });
  const context = await connected(centrifuge);
  assert.equal(context.transport, 'http_stream');
  const { publications } = await subscribed(centrifuge, 'thread.456');
  await server.publish(comment(456, 1));
  await until('the comment', () => publications.length === 1);
});
