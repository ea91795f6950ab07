// The live page in a real browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { open, text } from './harness/page.js';
import { Server } from './harness/server.js';

test('the live page connects, shows events as they come, and publishes', async (t) => {
  const server = await Server.start(t, '', '--demo', '100');
  const { page, complaints } = await open(t, server);
  await text(page, /^Connected$/);
  await page.locator('#rows .row').nth(10).waitFor();
  await page.locator('#comments li').first().waitFor();
  await page.locator('#channel').fill('product.7');
  await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
  await page.locator('#chips').getByText('product.7').waitFor();
  await page.locator('#event').selectOption({ label: 'forum.comment.created' });
  await page.locator('#publish button[type=submit], #publish button:not([id])').first().click();
  await page.locator('#result').getByText(/accepted/i).waitFor();
  assert.deepEqual(complaints, []);
});

test('a refused channel is said to be refused', async (t) => {
  const server = await Server.start(t);
  const { page } = await open(t, server);
  await text(page, /^Connected$/);
  await page.locator('#channel').fill('user.999');
  await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
  await page.locator('#channels-message').getByText(/103/).waitFor();
});

test('the page recovers what it missed while it was cut off', async (t) => {
  const server = await Server.start(t, '', '--demo', '100');
  const { page, complaints } = await open(t, server, { viewport: { width: 390, height: 844 } });
  await text(page, /^Connected$/);
  await page.locator('#rows .row').nth(5).waitFor();
  await page.locator('#cut').click();
  await text(page, /recovered \d+ events/);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${width} pixels wide`);
  assert.deepEqual(complaints, []);
});

/** What each platform's own part of the page shows when its events come. */
const PLATFORMS = {
  mechamap: {
    shown: { '#comments li p': /\w/, '#thread-views': /^[\d,]+$/, '#thread-title': /^(?!Waiting|–)/ },
  },
  sportscenter: {
    who: { user: '0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60', roles: ['coach'] },
    shown: {
      '#session-status': /In progress|Paused|Ended/, '#metrics .metric:first-child b': /^[\d.]+ bpm$/, '#goals li b': /%|achieved/,
      '#notes li p': /\w/, '#talk li p': /\w/, '#notice b': /\w/,
    },
  },
  gamification: {
    shown: {
      '#quests li .tag': /under way|completed|new/, '#achievements li b': /%|points|achieved|new/, '#rewards li b': /^\d+ points$/, '#news li b': /\w/,
    },
  },
  aiw3: {
    shown: {
      '#nft-name': /Chicken$/, '#benefits li': /off fees$/, '#next-share': /%$/, '#badges li b': /%|earned|active/, '#ranks .is-own': /You/, '#notices li b': /\w/,
    },
  },
};

for (const [platform, { who = {}, shown }] of Object.entries(PLATFORMS)) {
  test(`the page of ${platform} shows its own life, on wide screens and narrow ones`, async (t) => {
    // Each page is a connection, and for a moment another when it reads history.
    const server = await Server.of(platform, t, '[limits]\nconnections_per_user = 10', '--demo', '200');
    await Promise.all([1280, 390].map(async (width) => {
      const { page, complaints } = await open(t, server, { viewport: { width, height: 844 }, ...who });
      await text(page, /^Connected$/);
      for (const [where, what] of Object.entries(shown)) await page.locator(where).filter({ hasText: what }).first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${wide} pixels wide`);
      assert.deepEqual(complaints, []);
    }));
  });
}

/** What `look` finds on the page, again and again for so many seconds. */
async function watch(page, seconds, look) {
  const found = [];
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    found.push(await page.evaluate(look));
    await page.waitForTimeout(50);
  }
  return found;
}

test('the way that a portfolio shows leads from the tier that it shows to the next', async (t) => {
  const server = await Server.of('aiw3', t, '', '--demo', '300');
  const { page, complaints } = await open(t, server);
  await page.locator('#nft-state').filter({ hasText: 'benefits active' }).waitFor();
  const seen = await watch(page, 15, () => {
    const said = (id) => document.getElementById(id).textContent;
    return { tier: Number(said('nft-tier')) || 0, next: said('next-name'), tiers: [...document.querySelectorAll('#tiers li span')].map((each) => each.textContent) };
  });
  for (const { tier, next, tiers } of seen) {
    assert.match(next, tier === 5 ? /^The highest tier/ : new RegExp(`, tier ${tier + 1}$`));
    const expected = (level) => (level < tier ? /^burned$/ : level === tier ? /^(active|owned)$/ : /^locked$/);
    tiers.forEach((state, at) => assert.match(state, expected(at + 1), `tier ${at + 1} while ${tier} is the one`));
  }
  // Three hundred events a second take the first user through a season and into the next.
  const tiers = new Set(seen.map(({ tier }) => tier));
  assert.ok(tiers.size >= 4, `only ${[...tiers]}`);
  assert.deepEqual(complaints, []);
});

test('the shelf shows as low what is low, and rises and falls', async (t) => {
  const server = await Server.start(t, '', '--demo', '300');
  const { page } = await open(t, server);
  // Each comes when its own channel is flushed.
  for (const id of [1, 2, 3, 4, 5]) await page.locator('#stock tr').filter({ hasText: `Product ${id}` }).waitFor();
  const seen = await watch(page, 8, () => [...document.querySelectorAll('#stock tr')].map((row) => ({
    name: row.children[0].textContent, told: row.children[1].textContent, isLow: row.className === 'is-low',
  })));
  const counts = new Set();
  for (const rows of seen) {
    assert.deepEqual(rows.map(({ name }) => name), [1, 2, 3, 4, 5].map((id) => `Product ${id}`));
    for (const { told, isLow } of rows.filter((row) => row.told)) {
      const left = Number.parseInt(told, 10);
      counts.add(left);
      assert.equal(isLow, left <= 5, told);
      assert.equal(told.includes('low'), isLow, told);
    }
  }
  assert.ok(Math.min(...counts) <= 5 && Math.max(...counts) > 10, [...counts].join());
});

test('a session that is over makes room for the athlete’s next', async (t) => {
  const server = await Server.of('sportscenter', t, '', '--demo', '300');
  const { page } = await open(t, server, { user: '0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60', roles: ['coach'] });
  await page.locator('#goals-of').filter({ hasText: 'athlete' }).waitFor();
  const seen = await watch(page, 15, () => ({
    session: document.getElementById('session').value, count: document.getElementById('session').length,
    athlete: document.getElementById('goals-of').textContent, state: document.getElementById('session-status').textContent,
  }));
  assert.ok(seen.every(({ count }) => count <= 3), 'as many as there are athletes');
  assert.ok(new Set(seen.map(({ session }) => session)).size >= 2, 'one session all the time');
  assert.equal(new Set(seen.map(({ athlete }) => athlete)).size, 1, 'another athlete');
  assert.ok(seen.every(({ state }) => /In progress|Paused|Ended|Cancelled/.test(state)), 'a state that is none');
});

test('coaching metrics are drawn for those alone whose role may see them', async (t) => {
  const server = await Server.of('sportscenter', t, '', '--demo', '200');
  const bpm = (page) => page.locator('#metrics .metric:first-child b').filter({ hasText: 'bpm' });
  const mentor = await open(t, server, { user: 'm-1', roles: ['mentor'] });
  await mentor.page.locator('#notes li p').first().waitFor();
  const coach = await open(t, server, { user: 'c-1', roles: ['coach'] });
  await bpm(coach.page).waitFor();
  assert.match(await coach.page.locator('#metrics .metric:first-child .line').getAttribute('d'), /^M[\d.]+ [\d.]+L/);
  // What the coach has got by now, the mentor would have.
  assert.equal(await bpm(mentor.page).count(), 0);
  assert.equal(await mentor.page.locator('#chips [data-state=refused]').count(), 0);
});
