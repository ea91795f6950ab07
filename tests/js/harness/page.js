// The live page in a real browser.

import { chromium } from 'playwright-core';

import { API_KEY } from './server.js';
import { token } from './token.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];

/**
 * The page of a server, or proxy, in a browser that ends with the test `t`; whatever it complains of is
 * kept, and so is whatever it asks of other hosts. `prepare(page)` runs before the page loads.
 */
export async function open(t, server, { viewport = { width: 1280, height: 800 }, user = 1, roles = [], prepare = async () => {} } = {}) {
  const executablePath = process.env.FANFARE_TEST_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport });
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  const origin = `http://${server.host}:${server.port}`;
  page.on('request', (request) => {
    const { protocol, origin: asked } = new URL(request.url());
    if (protocol !== 'data:' && asked !== origin) complaints.push(`asked for ${request.url()}`);
  });
  await prepare(page);
  await page.goto(`${origin}/#token=${token(user, { roles })}&key=${API_KEY}`);
  return { page, complaints };
}

/** Waits until the page shows a text. */
export const text = (page, pattern) => page.getByText(pattern).first().waitFor();
