// The live page in a real browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { API_KEY, Server } from './harness/server.js';
import { token } from './harness/token.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];

/** The page of a server, in a browser that ends with the test; whatever it complains of is kept. */
async function open(t, server, viewport) {
  const executablePath = process.env.FANFARE_TEST_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport });
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`http://${server.host}:${server.port}/#token=${token(1)}&key=${API_KEY}`);
  return { page, complaints };
}

const text = (page, pattern) => page.getByText(pattern).first().waitFor();

test('the live page connects, shows events as they come, and publishes', async (t) => {
  const server = await Server.start(t, '', '--demo', '100');
  const { page, complaints } = await open(t, server, { width: 1280, height: 800 });
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
  const { page } = await open(t, server, { width: 1280, height: 800 });
  await text(page, /^Connected$/);
  await page.locator('#channel').fill('user.999');
  await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
  await page.locator('#channels-message').getByText(/103/).waitFor();
});

test('the page recovers what it missed while it was cut off', async (t) => {
  const server = await Server.start(t, '', '--demo', '100');
  const { page, complaints } = await open(t, server, { width: 390, height: 844 });
  await text(page, /^Connected$/);
  await page.locator('#rows .row').nth(5).waitFor();
  await page.locator('#cut').click();
  await text(page, /recovered \d+ events/);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `${width} pixels wide`);
  assert.deepEqual(complaints, []);
});
