// The live page in a real browser.

import { chromium } from 'playwright-core';

import { API_KEY } from './server.js';
import { token } from './token.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];

/**
 * The page of a server, or proxy, in a browser that ends with the test `t`; whatever it complains of is
 * kept. `prepare(page)` runs before the page loads.
 */
export async function open(t, server, { viewport = { width: 1280, height: 800 }, prepare = async () => {} } = {}) {
  const executablePath = process.env.FANFARE_TEST_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport });
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await prepare(page);
  await page.goto(`http://${server.host}:${server.port}/#token=${token(1)}&key=${API_KEY}`);
  return { page, complaints };
}

/** Waits until the page shows a text. */
export const text = (page, pattern) => page.getByText(pattern).first().waitFor();
