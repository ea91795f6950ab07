// The official Socket.IO client.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { io } from 'socket.io-client';

import { collect, next, until } from './harness/client.js';
import { comment, message, typing } from './harness/envelopes.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { WAYS, call, client, commentId, connected } from './harness/socket_io.js';
import { token } from './harness/token.js';

for (const [way, options] of Object.entries(WAYS)) {
  test(`a client works ${way}`, async (t) => {
    const server = await Server.start(t);
    const socket = await connected(t, server, options);
    const events = collect(socket, 'forum.comment.created');
    assert.deepEqual(await call(socket, 'join_channel', 'thread.456'), { success: true });
    assert.deepEqual(await call(socket, 'join_channel', 'user.8'), { success: false, error: 'Unauthorized' });
    const results = await server.publish(Array.from({ length: 300 }, (_, at) => comment(456, at + 1)));
    assert.equal(results.length, 300);
    await until('the events', () => events.length === 300);
    assert.deepEqual(events.map(commentId), Array.from({ length: 300 }, (_, at) => at + 1));
    assert.equal(events[0].event, 'forum.comment.created');
    assert.equal(events[0].channel, 'thread.456');
    const own = next(socket, 'messaging.message.sent');
    await server.publish(message(7, 1));
    assert.equal((await own).channel, 'user.7');
    const history = await call(socket, 'history', { channel: 'thread.456', limit: 2, reverse: true });
    assert.deepEqual(history.events.map(({ offset }) => offset), [300, 299]);
    const presence = await call(socket, 'presence', 'thread.456');
    assert.deepEqual([presence.success, presence.users, presence.clients[0].user], [true, 1, '7']);
    const heard = next(socket, 'forum.typing.started');
    const published = await call(socket, 'publish', { ...typing(7), channel: 'thread.456' });
    assert.deepEqual(published, { success: true });
    await heard;
    const pong = next(socket, 'pong');
    socket.emit('ping');
    await pong;
    assert.equal((await call(socket, 'health')).status, 'healthy');
    const { success, expires } = await call(socket, 'refresh', token(7, { seconds: 50 }));
    assert.ok(success && expires > 45 && expires <= 51, `${expires}`);
    const error = next(socket, 'error');
    const refused = await call(socket, 'shout');
    assert.deepEqual([refused.success, refused.code], [false, 'NOT_FOUND']);
    assert.equal((await error).code, 'NOT_FOUND');
    assert.deepEqual(await call(socket, 'leave_channel', 'thread.456'), { success: true });
    const expected = options.transports?.[0] ?? 'websocket';
    await until('the transport', () => socket.io.engine.transport.name === expected);
  });

  test(`a client without a valid token is told so ${way}`, async (t) => {
    const server = await Server.start(t);
    for (const auth of [{}, { token: 'x' }, { token: token(7, { secret: 'other' }) }, { token: token(7, { seconds: -60 }) }]) {
      const socket = client(t, server, { ...options, auth });
      const error = await next(socket, 'connect_error');
      assert.equal(error.message, 'AUTH_FAILED');
      assert.equal(error.data.code, 'AUTH_FAILED');
      assert.equal(typeof error.data.message, 'string');
      socket.disconnect();
    }
    const bearer = await connected(t, server, { ...options, auth: { token: `Bearer ${token(7)}` } });
    assert.ok(bearer.connected);
    const other = io(`http://${server.host}:${server.port}/other`, { ...options, forceNew: true });
    t.after(() => other.disconnect());
    assert.equal((await next(other, 'connect_error')).message, 'Invalid namespace');
  });

  test(`a client comes back to another server and joins again ${way}`, async (t) => {
    const first = await Server.start(t);
    const second = await Server.start(t);
    const proxy = await Proxy.to(t, first);
    const socket = client(t, proxy, options);
    const events = collect(socket, 'forum.comment.created');
    const joins = [];
    socket.on('connect', async () => joins.push(await call(socket, 'join_channel', 'thread.456')));
    await until('the first join', () => joins.length === 1);
    // It waits for its flush, and goes out before the server does.
    await first.publish(comment(456, 1, 'low'));
    const left = new Promise((resolve) => socket.once('disconnect', resolve));
    proxy.server = second;
    assert.equal(await first.terminate(), 0);
    const reason = await left;
    assert.ok(['transport close', 'transport error'].includes(reason), reason);
    assert.deepEqual(events.map(commentId), [1]);
    await until('the second join', () => joins.length === 2);
    assert.deepEqual(joins, [{ success: true }, { success: true }]);
    await second.publish(comment(456, 2));
    await until('the event of the other server', () => events.length === 2);
  });
}
