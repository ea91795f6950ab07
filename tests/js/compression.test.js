// What real clients make of compressed messages, streams and answers, and of EDN.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';

import { parseEDNString } from 'edn-data';
import { EventSource } from 'eventsource';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

import { client, connected, subscribed, until } from './harness/client.js';
import { comment, commentId } from './harness/envelopes.js';
import { Server } from './harness/server.js';
import * as socketIo from './harness/socket_io.js';
import { token } from './harness/token.js';

const CONFIG = 'limits = { connections_per_user = 100 }';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];
const WORDS = ['torque', 'gear', 'SolidWorks', 'näher', '😀'];

/** A comment that is worth compressing. */
function longComment(thread, id, words = 600) {
  const envelope = comment(thread, id);
  envelope.data.comment.content = Array.from({ length: words }, (_, at) => WORDS[(at * at + id) % 5]).join(' ');
  return envelope;
}

/** A way to the server that keeps what the server sends. */
async function tap(t, server) {
  const seen = [];
  const listener = createServer((near) => {
    const far = connect(server.port, server.host);
    const kept = { sent: Buffer.alloc(0), received: Buffer.alloc(0) };
    seen.push(kept);
    far.on('data', (bytes) => { kept.received = Buffer.concat([kept.received, bytes]); });
    near.on('data', (bytes) => { kept.sent = Buffer.concat([kept.sent, bytes]); });
    for (const [socket, other] of [[near, far], [far, near]]) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => other.destroy());
      socket.pipe(other);
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => listener.close());
  return { host: '127.0.0.1', port: listener.address().port, seen };
}

/** The first bytes of the frames behind an answer that switched protocols. */
function frames(bytes) {
  const firsts = [];
  let at = bytes.indexOf('\r\n\r\n') + 4;
  while (at + 1 < bytes.length) {
    const masked = bytes[at + 1] & 0x80 ? 4 : 0;
    let length = bytes[at + 1] & 0x7f;
    let head = 2;
    if (length === 126) [length, head] = [bytes.readUInt16BE(at + 2), 4];
    else if (length === 127) [length, head] = [Number(bytes.readBigUInt64BE(at + 2)), 10];
    firsts.push(bytes[at]);
    at += head + masked + length;
  }
  return firsts;
}

const isCompressed = (first) => (first & 0x40) !== 0;

test('the official client on ws, which compresses what it sends too', async (t) => {
  const server = await Server.start(t, CONFIG);
  const way = await tap(t, server);
  class Compressing extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: { threshold: 0 } });
    }
  }
  const compressing = client(t, way, { websocket: Compressing, token: token(7) });
  await connected(compressing);
  const plain = client(t, server, { token: token(8) });
  await connected(plain);
  const a = await subscribed(compressing, 'thread.1');
  const b = await subscribed(plain, 'thread.1');
  for (let id = 1; id <= 20; id += 1) await server.publish(longComment(1, id, id * 40));
  await until('the events', () => a.publications.length === 20 && b.publications.length === 20);
  assert.deepEqual(a.publications.map(({ data }) => data), b.publications.map(({ data }) => data));
  const [{ sent, received }] = way.seen;
  assert.match(received.toString('latin1'), /sec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n/i);
  assert.ok(frames(received).filter(isCompressed).length >= 15);
  assert.ok(frames(sent).every((first) => isCompressed(first) || (first & 0x0f) > 7), 'commands came compressed');
  const presence = await compressing.history('thread.1', { limit: 20 });
  assert.equal(presence.publications.length, 20, 'a long reply is read as well');
});

for (const [way, options] of Object.entries(socketIo.WAYS)) {
  test(`socket.io-client that compresses, ${way}`, async (t) => {
    const server = await Server.start(t, CONFIG);
    const tapped = await tap(t, server);
    const plain = await socketIo.connected(t, server, { transports: ['websocket'], perMessageDeflate: false });
    const socket = await socketIo.connected(t, tapped, { ...options, perMessageDeflate: { threshold: 0 } });
    if (way.startsWith('from')) await until('the WebSocket', () => socket.io.engine.transport.name === 'websocket');
    const seen = [[], []];
    for (const [at, one] of [plain, socket].entries()) {
      one.on('forum.comment.created', (envelope) => seen[at].push(envelope));
      assert.equal((await socketIo.call(one, 'join_channel', 'thread.1')).success, true);
    }
    for (let id = 1; id <= 10; id += 1) await server.publish(longComment(1, id, id * 60));
    await until('the events', () => seen.every((events) => events.length === 10));
    assert.deepEqual(seen[0], seen[1]);
    assert.deepEqual(seen[1].map(socketIo.commentId), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    if (way !== 'by polling') {
      const onWebSocket = tapped.seen.map(({ received }) => received).find((bytes) => bytes.includes('101 Switching'));
      assert.ok(frames(onWebSocket).some(isCompressed));
    }
  });
}

// A browser offers zstd to origins that it calls secure, this machine among them, and gzip to all.
for (const [coding, host] of [['zstd', '127.0.0.1'], ['gzip', 'fanfare.test']]) test(`a browser reads compressed messages, and streams and polls in ${coding}`, async (t) => {
  const server = await Server.start(t, CONFIG);
  const way = await tap(t, server);
  const executablePath = process.env.FANFARE_TEST_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, '--host-resolver-rules=MAP fanfare.test 127.0.0.1'] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`http://${host}:${way.port}/`);
  await page.evaluate(async (token) => {
    window.events = [];
    window.stream = new EventSource(`/sse?channel=thread.1&token=${token}`);
    window.stream.onmessage = ({ data }) => window.events.push(JSON.parse(data));
    window.pushes = [];
    window.socket = new WebSocket(`ws://${location.host}/ws?channel=thread.1`);
    window.socket.onmessage = ({ data }) => {
      for (const line of data.split('\n')) {
        const reply = JSON.parse(line);
        if (reply.push) window.pushes.push(reply.push.pub.data);
        if (reply.connect) window.isIn = true;
      }
    };
    window.socket.onopen = () => window.socket.send(JSON.stringify({ id: 1, connect: { token } }));
  }, token(7));
  await page.waitForFunction(() => window.isIn && window.stream.readyState === 1);
  const sent = Array.from({ length: 10 }, (_, at) => longComment(1, at + 1, at * 90));
  for (const envelope of sent) {
    await server.publish(envelope);
    const count = sent.indexOf(envelope) + 1;
    // Each by itself: nothing that comes later pushes it out.
    await page.waitForFunction((count) => window.events.length === count && window.pushes.length === count, count);
  }
  const { events, pushes } = await page.evaluate(() => ({ events: window.events, pushes: window.pushes }));
  assert.deepEqual(events, pushes);
  assert.deepEqual(events.map(({ data }) => data.comment.content), sent.map(({ data }) => data.comment.content));
  const polled = await page.evaluate(async (token) => {
    const headers = { authorization: `Bearer ${token}` };
    const { cursor, positions } = await (await fetch('/poll?channel=thread.1&wait=0', { headers })).json();
    const since = `${positions['thread.1'].epoch}:0`;
    const answer = await fetch(`/poll?channel=thread.1&wait=0&since=${since}`, { headers });
    return { cursor, coding: answer.headers.get('content-encoding'), ...(await answer.json()) };
  }, token(7));
  assert.equal(polled.events.length, 10);
  assert.equal(polled.coding, coding);

  assert.equal(await page.evaluate(() => window.socket.extensions), 'permessage-deflate; server_no_context_takeover; client_no_context_takeover');
  const socket = way.seen.find(({ received }) => received.includes('101 Switching'));
  const messages = frames(socket.received).filter((first) => (first & 0x0f) === 1);
  assert.ok(messages.filter(isCompressed).length >= 8, `${messages}`);
  assert.ok(frames(socket.sent).some(isCompressed), 'Chromium compresses its commands');
  const streams = way.seen.filter(({ received }) => received.includes('text/event-stream'));
  assert.ok(streams.some(({ received }) => received.toString('latin1').includes(`content-encoding: ${coding}\r\n`)));
});

test('EventSource of Node reads a gzip stream of several channels', async (t) => {
  const server = await Server.start(t, CONFIG);
  const codings = [];
  const accepting = (coding) => (url, init) => fetch(url, { ...init, headers: { ...init.headers, 'accept-encoding': coding } })
    .then((answer) => {
      codings.push(answer.headers.get('content-encoding'));
      return answer;
    });
  const seen = [[], []];
  for (const [at, coding] of ['gzip', 'identity'].entries()) {
    const url = `http://${server.host}:${server.port}/sse?channel=thread.1&channel=thread.2&token=${token(7)}`;
    const source = new EventSource(url, { fetch: accepting(coding) });
    t.after(() => source.close());
    source.onmessage = ({ data, lastEventId }) => seen[at].push({ lastEventId, ...JSON.parse(data) });
    await once(source, 'open').catch(() => {});
    await until('the stream', () => source.readyState === 1);
  }
  for (let id = 1; id <= 10; id += 1) {
    await server.publish(longComment(1 + (id % 2), id, id * 70));
    await until('the event', () => seen.every((events) => events.length === id));
  }
  assert.deepEqual(seen[0], seen[1]);
  assert.deepEqual(codings, ['gzip', null]);
});

test('an EDN reader reads streams and polls', async (t) => {
  const server = await Server.start(t, CONFIG);
  const envelope = longComment(1, 1);
  envelope.data.comment.content = 'a "quoted" \\ line\nand \t\b\f\u0001 näher 😀 /';
  envelope.data.comment['kebab-case'] = { 'with space': [1.5, -2, 1e21, null, true, {}], 'ns/name': [] };
  await server.publish(envelope);
  const read = (edn) => parseEDNString(edn, { mapAs: 'object', keywordAs: 'string', listAs: 'array' });
  const base = `http://${server.host}:${server.port}`;
  const authorization = `Bearer ${token(7)}`;
  const get = async (path, accept) => {
    const answer = await fetch(`${base}${path}`, { headers: { authorization, accept } });
    return { kind: answer.headers.get('content-type'), text: await answer.text() };
  };
  const now = JSON.parse((await get('/poll?channel=thread.1&wait=0', 'application/json')).text);
  const since = `since=${now.positions['thread.1'].epoch}:0`;
  const json = JSON.parse((await get(`/poll?channel=thread.1&wait=0&${since}`, 'application/json')).text);
  const edn = await get(`/poll?channel=thread.1&wait=0&${since}`, 'application/edn');
  assert.equal(edn.kind, 'application/edn');
  assert.deepEqual(read(edn.text), json);
  assert.match(edn.text, /:event :forum\.comment\.created /, 'the name is a keyword');
  assert.match(edn.text, /:priority "high"/, 'other strings are not');

  const source = new EventSource(`${base}/sse?channel=thread.1&${since}&token=${token(7)}`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, accept: 'application/edn' } }),
  });
  t.after(() => source.close());
  const [{ data: streamed }] = await once(source, 'message').catch(() => [{}]);
  assert.deepEqual(read(streamed), json.events[0].data);
  assert.equal(commentId({ data: read(streamed) }), 1);
});
