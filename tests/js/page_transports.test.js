// The live page over each of its transports, and from one to the other.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from './harness/client.js';
import { comment } from './harness/envelopes.js';
import { open, text } from './harness/page.js';
import { Proxy } from './harness/proxy.js';
import { Server } from './harness/server.js';
import { token } from './harness/token.js';

const TRANSPORTS = ['websocket', 'sse', 'poll', 'socketio'];

const choose = (page, transport) => page.locator(`input[name=transport][value=${transport}]`).check({ force: true });

/** Chooses a transport and waits until events came over it. */
async function change(page, transport) {
  await choose(page, transport);
  await text(page, /^Connected$/);
  await more(page, 3);
}

/** Waits until so many events more were received. */
async function more(page, events) {
  const received = async () => Number((await page.locator('#chips .count').allInnerTexts()).reduce((sum, count) => sum + Number(count), 0));
  const before = await received();
  await until(`${events} events more`, async () => (await received()) >= before + events);
}

/** What the page says of its comparison with history, when all that came until now is in it. */
async function verdict(page) {
  const checked = async () => Number((await page.locator('#check-detail').innerText()).match(/([\d,]+) checked/)[1].replace(',', ''));
  // The first may have begun earlier.
  for (const which of ['a comparison', 'another']) {
    const before = await checked();
    await until(which, async () => (await checked()) > before);
  }
  return page.locator('#check').innerText();
}

for (const transport of TRANSPORTS) {
  test(`events come over ${transport}, and a cut misses none`, async (t) => {
    const server = await Server.start(t, '', '--demo', '50');
    const { page, complaints } = await open(t, server);
    await text(page, /^Connected$/);
    await change(page, transport);
    if (transport !== 'websocket') await text(page, /^From WebSocket to \S+ in .+: recovered \d+ events?$/);
    await page.locator('#cut').click();
    await text(page, /^Reconnecting$/);
    await text(page, /^Back after [\d.]+ s: recovered \d+ events?$/);
    await more(page, 20);
    assert.equal(await verdict(page), '0 missed, 0 twice');
    assert.deepEqual(complaints, []);
  });
}

test('from each transport to each other while events flow nothing is missed', async (t) => {
  const server = await Server.start(t, '', '--demo', '50');
  const { page, complaints } = await open(t, server);
  await text(page, /^Connected$/);
  // Every ordered pair once: a walk over the edges of the complete graph.
  const walk = ['sse', 'websocket', 'poll', 'websocket', 'socketio', 'sse', 'poll', 'sse', 'socketio', 'poll', 'socketio', 'websocket'];
  for (const transport of walk) await change(page, transport);
  // Faster than a transport can begin.
  for (const transport of ['sse', 'poll', 'socketio', 'sse', 'websocket', 'poll', 'sse']) {
    await choose(page, transport);
  }
  await text(page, /^Connected$/);
  await more(page, 20);
  assert.equal(await verdict(page), '0 missed, 0 twice');
  assert.match(await page.locator('#check-detail').innerText(), /^19 switches, 0 cuts, [\d,]+ checked$/);
  assert.deepEqual(complaints, []);
});

test('each comment is shown once and in order, whatever carries it', async (t) => {
  const server = await Server.start(t);
  const { page } = await open(t, server);
  await text(page, /^Connected$/);
  await until('subscribed', async () => (await page.locator('#chips [data-state=subscribed]').count()) >= 5);
  const ids = Array.from({ length: 150 }, (_, at) => at + 1);
  let isOver = false;
  const publishing = (async () => {
    for (const id of ids) {
      await server.publish(comment(1, id));
      await page.waitForTimeout(20);
    }
    isOver = true;
  })();
  for (let at = 0; !isOver; at += 1) {
    await choose(page, TRANSPORTS[(at * 3 + 1) % TRANSPORTS.length]);
    await page.waitForTimeout(at % 3 * 150);
  }
  await publishing;
  const shown = () => page.locator('#rows .row').evaluateAll((rows) => rows.map((row) => row.envelope?.data.comment.id).filter(Boolean).reverse());
  await until('the last', async () => (await shown()).at(-1) === ids.at(-1));
  assert.deepEqual(await shown(), ids);
});

test('a switch while the page is cut off carries on from before the cut', async (t) => {
  const server = await Server.start(t, '', '--demo', '50');
  const { page } = await open(t, server);
  await text(page, /^Connected$/);
  for (const transport of ['sse', 'websocket', 'socketio', 'poll', 'websocket']) {
    await more(page, 3);
    await page.locator('#cut').click();
    await page.waitForTimeout(300);
    await change(page, transport);
  }
  assert.equal(await verdict(page), '0 missed, 0 twice');
});

test('what the page misses, or gets twice, it says', async (t) => {
  const server = await Server.start(t);
  // Loses the comment 666 and doubles the comment 777 on their way to the page.
  const prepare = (page) => page.routeWebSocket(/\/ws/, (socket) => {
    socket.connectToServer().onMessage((frame) => {
      if (!frame.includes('"id":666,')) socket.send(frame);
      if (frame.includes('"id":777,')) socket.send(frame);
    });
  });
  const { page } = await open(t, server, { prepare });
  await text(page, /^Connected$/);
  for (const id of [1, 666, 2]) await server.publish(comment(1, id));
  await page.locator('#check').getByText('1 missed, 0 twice').waitFor();
  for (const id of [777, 3]) await server.publish(comment(1, id));
  await page.locator('#check').getByText('1 missed, 1 twice').waitFor();
  await text(page, /^1 event of thread\.1 did not come$/);
  await text(page, /^An event of thread\.1 came twice$/);
});

test('channels come and go on every transport', async (t) => {
  const server = await Server.start(t, '', '--demo', '100');
  const { page, complaints } = await open(t, server);
  await text(page, /^Connected$/);
  const chip = (name) => page.locator('#chips button', { hasText: name });
  for (const [at, transport] of TRANSPORTS.entries()) {
    await change(page, transport);
    for (const name of ['thread.3', `user.99${at}`]) {
      await page.locator('#channel').fill(name);
      await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
    }
    await until('refused', async () => (await chip(`user.99${at}`).getAttribute('data-state')) === 'refused');
    await until('events', async () => Number(await chip('thread.3').locator('.count').innerText()) > at * 2);
    await chip('thread.3').click();
    await until('gone', async () => (await chip('thread.3').getAttribute('data-state')) === 'off');
    await chip(`user.99${at}`).click();
  }
  await more(page, 5);
  assert.equal(await verdict(page), '0 missed, 0 twice');
  assert.deepEqual(complaints.filter((complaint) => !/403/.test(complaint)), []);
});

test('how a transport is refused is said in a sentence', async (t) => {
  const server = await Server.start(t);
  const { page } = await open(t, server);
  await text(page, /^Connected$/);
  await page.evaluate((hash) => { location.hash = hash; }, `token=${token(1, { secret: 'another' })}&key=k`);
  await text(page, /^invalid token: it is not one of this server’s$/);
  for (const transport of ['sse', 'poll', 'socketio']) {
    await choose(page, transport);
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await text(page, /^the token is not valid here, or has ended: paste a new one$/);
  }
});

test('a limit is said in a sentence, and time heals it', async (t) => {
  const server = await Server.start(t);
  const { page } = await open(t, server);
  await text(page, /^Connected$/);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  // A place that the page still has when the others take theirs would be free again a moment later.
  await until('the page has left', async () => (await server.connections(1)).length === 0);
  const others = new AbortController();
  const stream = `http://${server.host}:${server.port}/sse?channel=thread.1&token=${token(1)}`;
  // Kept, because a stream ends with the answer that nobody refers to any more.
  const answers = [];
  await until('as many as may be', async () => {
    answers.push(await fetch(stream, { signal: others.signal }));
    return answers.at(-1).status === 429;
  });
  for (const transport of ['sse', 'poll', 'socketio']) {
    await choose(page, transport);
    if (transport === 'sse') await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await text(page, /^in [\d.]+ s, attempt \d+; 429 this user has as many connections, or has sent as much, as it may$/);
  }
  assert.equal(answers.length, 6);
  others.abort();
  await text(page, /^Connected$/);
});

test('the page comes back over every transport when the server does', async (t) => {
  const server = await Server.start(t, '', '--demo', '50');
  const proxy = await Proxy.to(t, server);
  const { page } = await open(t, proxy);
  await text(page, /^Connected$/);
  for (const transport of TRANSPORTS) {
    await change(page, transport);
    proxy.cut();
    // A browser repeats by itself what it asked over a connection that turns out to be gone.
    if (transport !== 'poll') await text(page, /^Reconnecting$/);
    await text(page, /^Connected$/);
    await more(page, 5);
  }
  assert.equal(await verdict(page), '0 missed, 0 twice');
  await server.terminate();
  await text(page, /^Reconnecting$/);
  const next = await Server.start(t, '', '--demo', '50');
  proxy.server = next;
  await text(page, /^Connected$/);
  await more(page, 5);
  // The history of the first server went with it.
  await page.locator('#check').getByText(/^0 missed, 0 twice, \d+ gaps?$/).waitFor();
});

/** Platforms whose envelopes do not name their channel, and one of which Socket.IO brings the data alone. */
const OTHERS = {
  sportscenter: { user: '0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60', roles: ['coach'] },
  gamification: {},
  aiw3: {},
};

test('events of the other platforms come over each transport, and none is missed', async (t) => {
  await Promise.all(Object.entries(OTHERS).map(async ([platform, who]) => {
    const server = await Server.of(platform, t, '', '--demo', '100');
    const { page, complaints } = await open(t, server, who);
    await text(page, /^Connected$/);
    for (const transport of ['sse', 'poll', 'socketio', 'websocket']) await change(page, transport);
    await page.locator('#cut').click();
    await text(page, /^Back after [\d.]+ s: recovered \d+ events?$/);
    await more(page, 10);
    assert.equal(await verdict(page), '0 missed, 0 twice', platform);
    assert.deepEqual(complaints, [], platform);
  }));
});
