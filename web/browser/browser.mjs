// What every browser script needs: Chromium, and one errors-are-failures page per person.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** Starts the machine's Chromium with nothing that talks to other hosts. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/**
 * A person with a browser of their own. Errors of the page, refused loads and
 * requests to other hosts are collected in problems; finish() throws them.
 */
export async function person(browser, name, { width = 1280, height = 800, scheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: 'en-GB' });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const problems = [];
  page.on('pageerror', (err) => problems.push(`${name}: ${err.message}`));
  page.on('console', (msg) => {
    // A refused call is part of some stories and is checked there; policy violations never are.
    if (msg.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(msg.text())) {
      problems.push(`${name}: ${msg.text()}`);
    }
  });
  page.on('request', (request) => {
    const { hostname } = new URL(request.url());
    if (!['127.0.0.1', 'localhost', ''].includes(hostname)) problems.push(`${name}: asked ${hostname}`);
  });
  return { name, context, page, problems };
}

/** Throws everything that went wrong on the pages of these people. */
export function finish(...people) {
  const all = people.flatMap((p) => p.problems);
  if (all.length > 0) throw new Error(all.join('\n'));
}

let shots = 0;
/** Takes a numbered screenshot into the folder SHOTS, if it is set. */
export async function shot(page, name) {
  const folder = process.env.SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${String(++shots).padStart(2, '0')}-${name}.png`) });
}

/** The widget's frame inside a customer's page. */
export function widget(page) {
  return page.frameLocator('iframe[title="Chat with us"]');
}

/** An environment variable that must be there. */
export function env(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
