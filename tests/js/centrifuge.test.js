// The official Centrifuge client against MechaMap: what an application does all day.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UnauthorizedError } from 'centrifuge';

import { client, collect, connected, next, pause, subscribed, until } from './harness/client.js';
import { comment, commentId, message, typing } from './harness/envelopes.js';
import { Server } from './harness/server.js';
import { token } from './harness/token.js';

test('a client with a token connects and gets what is posted to its thread', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7) });
  assert.ok((await connected(centrifuge)).client);
  const { publications, context } = await subscribed(centrifuge, 'thread.456');
  assert.equal(context.recoverable, true);
  assert.equal(context.positioned, true);
  const sent = comment(456, 789);
  const [published] = await server.publish(sent);
  await until('the comment', () => publications.length === 1);
  const [publication] = publications;
  assert.equal(publication.channel, 'thread.456');
  assert.equal(publication.offset, 1);
  assert.deepEqual([published.channel, published.offset], ['thread.456', 1]);
  assert.equal(publication.data.event, 'forum.comment.created');
  assert.equal(publication.data.channel, 'thread.456');
  assert.deepEqual(publication.data.data, sent.data);
});

test('events of one window arrive in order', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7) });
  await connected(centrifuge);
  const { publications } = await subscribed(centrifuge, 'thread.456');
  for (const id of [1, 2, 3]) await server.publish(comment(456, id, 'medium'));
  await until('the comments', () => publications.length === 3);
  assert.deepEqual(publications.map(commentId), [1, 2, 3]);
});

test('typing is published by one client and reaches the others with who it was', async (t) => {
  const server = await Server.start(t);
  const reader = client(t, server, { token: token(8) });
  await connected(reader);
  const { publications } = await subscribed(reader, 'thread.456');
  const writer = client(t, server, { token: token(7) });
  const { client: id } = await connected(writer);
  await writer.publish('thread.456', typing(7));
  await until('the typing', () => publications.length === 1);
  assert.equal(publications[0].data.event, 'forum.typing.started');
  assert.deepEqual(publications[0].data.data, typing(7).data);
  assert.equal(publications[0].offset, undefined);
  assert.deepEqual([publications[0].info.user, publications[0].info.client], ['7', id]);
});

test('another user\'s channel is refused and the client gives up on it', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7) });
  await connected(centrifuge);
  const subscription = centrifuge.newSubscription('user.999');
  const refused = next(subscription, 'unsubscribed');
  subscription.subscribe();
  assert.equal((await refused).code, 103);
  assert.equal(centrifuge.state, 'connected');
});

test('unknown events and events that clients may not send are refused', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7) });
  await connected(centrifuge);
  const { subscription, publications } = await subscribed(centrifuge, 'thread.456');
  await assert.rejects(subscription.publish({ event: 'no.such.event', data: {} }), { code: 107 });
  await assert.rejects(subscription.publish({ event: 'forum.comment.created', data: comment(456, 1).data }), { code: 103 });
  await assert.rejects(subscription.publish(typing(8)), { code: 103 });
  assert.equal(centrifuge.state, 'connected');
  assert.equal(publications.length, 0);
});

test('history is read forwards, backwards and from a position', async (t) => {
  const server = await Server.start(t);
  await server.publish([1, 2, 3, 4, 5].map((id) => comment(456, id)));
  const centrifuge = client(t, server, { token: token(7) });
  await connected(centrifuge);
  const { subscription } = await subscribed(centrifuge, 'thread.456');
  const all = await subscription.history({ limit: -1 });
  assert.deepEqual(all.publications.map(commentId), [1, 2, 3, 4, 5]);
  assert.equal(all.offset, 5);
  const newest = await subscription.history({ limit: 2, reverse: true });
  assert.deepEqual(newest.publications.map(commentId), [5, 4]);
  const later = await subscription.history({ limit: 10, since: { offset: 3, epoch: all.epoch } });
  assert.deepEqual(later.publications.map(commentId), [4, 5]);
  await assert.rejects(centrifuge.history('user.999', { limit: 1 }), { code: 103 });
});

test('channels that the token claims are subscribed to by the server', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7, { channels: ['user.7'] }) });
  const publications = collect(centrifuge, 'publication');
  const subscriptions = collect(centrifuge, 'subscribed');
  await connected(centrifuge);
  await until('the subscription', () => subscriptions.length === 1);
  assert.equal(subscriptions[0].channel, 'user.7');
  await server.publish(message(7, 1));
  await until('the message', () => publications.length === 1);
  assert.equal(publications[0].channel, 'user.7');
  assert.equal(publications[0].data.data.message.id, 1);
});

test('channels of the address are subscribed to by the server', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7), query: '?channel=thread.1&channel=thread.2' });
  const publications = collect(centrifuge, 'publication');
  await connected(centrifuge);
  await server.publish([comment(1, 1), comment(2, 2), comment(3, 3)]);
  await until('the comments', () => publications.length === 2);
  assert.deepEqual(publications.map(({ channel }) => channel).sort(), ['thread.1', 'thread.2']);
});

test('a token is fetched, and refreshed when it ends, without losing the connection', async (t) => {
  const server = await Server.start(t);
  let fetched = 0;
  const getToken = async () => token(7, { seconds: (fetched += 1) < 3 ? 1 : 3600 });
  const centrifuge = client(t, server, { getToken });
  const reconnecting = collect(centrifuge, 'connecting');
  await connected(centrifuge);
  const { publications } = await subscribed(centrifuge, 'user.7');
  await until('two refreshes', () => fetched === 3);
  await server.publish(message(7, 1));
  await until('the message', () => publications.length === 1);
  assert.equal(centrifuge.state, 'connected');
  assert.equal(reconnecting.length, 1, 'it connected once');
});

test('a token that ended before connecting is replaced by a fresh one', async (t) => {
  const server = await Server.start(t);
  let fetched = 0;
  const getToken = async () => {
    fetched += 1;
    return token(7);
  };
  const centrifuge = client(t, server, { token: token(7, { seconds: -10 }), getToken });
  await connected(centrifuge);
  assert.equal(fetched, 1);
});

test('a client whose token cannot be refreshed is disconnected for good', async (t) => {
  const server = await Server.start(t);
  let fetched = 0;
  const getToken = async () => {
    fetched += 1;
    if (fetched > 1) throw new UnauthorizedError('signed out');
    return token(7, { seconds: 1 });
  };
  const centrifuge = client(t, server, { getToken });
  await connected(centrifuge);
  assert.equal((await next(centrifuge, 'disconnected')).code, 1);
});

test('a client with a forged token is disconnected and stays away', async (t) => {
  const server = await Server.start(t);
  const centrifuge = client(t, server, { token: token(7, { secret: 'another secret' }) });
  const disconnected = next(centrifuge, 'disconnected');
  centrifuge.connect();
  assert.equal((await disconnected).code, 3500);
  assert.equal(centrifuge.state, 'disconnected');
});

test('the sixth client of a user is disconnected and stays away', async (t) => {
  const server = await Server.start(t);
  for (let opened = 0; opened < 5; opened += 1) await connected(client(t, server, { token: token(7) }));
  const sixth = client(t, server, { token: token(7) });
  const disconnected = next(sixth, 'disconnected');
  sixth.connect();
  assert.equal((await disconnected).code, 3504);
});

test('pings are answered and the connection stays', async (t) => {
  const server = await Server.start(t, 'heartbeat = { ping = 2, pong = 1 }');
  const centrifuge = client(t, server, { token: token(7) });
  const reconnecting = collect(centrifuge, 'connecting');
  await connected(centrifuge);
  await pause(6_000);
  assert.equal(centrifuge.state, 'connected');
  assert.equal(reconnecting.length, 1);
});
