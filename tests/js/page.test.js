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
