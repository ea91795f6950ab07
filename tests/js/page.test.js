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
