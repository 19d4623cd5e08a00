// Runs every browser script against a demo of its own: two real nodes on one
// Redis, with the links that the demo prints. Needs go, redis-server, chromium.
//
// Run: npm run browser
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('../..', import.meta.url).pathname;
const binary = new URL('../.build/switchboard', import.meta.url).pathname;
const data = mkdtempSync(join(tmpdir(), 'switchboard-browser-'));

run('go', ['build', '-o', binary, './cmd/switchboard'], root);
const port = await freePort();
const demo = spawn(binary, ['demo', '--nodes', '2', '--port', String(port), '--data', data], { stdio: ['ignore', 'pipe', 'inherit'] });
const ended = once(demo, 'exit');
try {
  await links(demo);
  for (const script of ['mainjob.mjs', 'several.mjs', 'pages.mjs']) {
    run(process.execPath, [new URL(script, import.meta.url).pathname], root, tickets());
  }
} finally {
  demo.kill('SIGTERM');
  await ended;
  rmSync(data, { recursive: true, force: true });
}

/** Waits until the demo has printed its links; fails if it ends before. */
function links(child) {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
      if (said.includes('Ctrl-C')) resolve();
    });
    child.on('exit', () => reject(new Error(`the demo ended: ${said}`)));
    child.on('error', reject);
  });
}

/** Fresh one-time tickets, from the links of people by name. */
function tickets() {
  const printed = run(binary, ['demo', 'links', '--data', data], root);
  const ticket = (name) => {
    const found = new RegExp(`${name} .*#ticket=(\\S+)`).exec(printed);
    if (!found) throw new Error(`no link for ${name}: ${printed}`);
    return found[1];
  };
  const page = /\/demo\/\?org=(\d+)&team=(\d+)/.exec(printed);
  if (!page) throw new Error(`no customer page: ${printed}`);
  return {
    BASE_A: `http://127.0.0.1:${port}`,
    BASE_B: `http://127.0.0.1:${port + 1}`,
    ORG: page[1],
    TEAM: page[2],
    OPERATOR_TICKET: ticket('Ines'),
    OTHER_TICKET: ticket('Olu'),
    SUPERVISOR_TICKET: ticket('Mina'),
  };
}

/** Runs a command to its end and returns what it printed; a failure ends this script. */
function run(command, args, cwd, more = {}) {
  const done = spawnSync(command, args, { cwd, env: { ...process.env, ...more }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: 300_000 });
  if (done.status !== 0) throw new Error(`${command} ${args[0]}: ${done.error ?? `exit status ${done.status}`}\n${done.stdout}`);
  if (command === process.execPath) process.stdout.write(done.stdout);
  return done.stdout;
}

/**
 * A port that is free now, with all that the demo takes: it, the next one, and those 1000 above for metrics. Below the
 * ports that connections are given, so that none of them is taken in between.
 */
async function freePort() {
  for (let tries = 0; tries < 100; tries++) {
    const first = 12_000 + Math.floor(Math.random() * 18_000);
    const wanted = [first, first + 1, first + 1000, first + 1001];
    if ((await Promise.all(wanted.map(isFree))).every(Boolean)) return first;
  }
  throw new Error('no free ports');
}

async function isFree(candidate) {
  const server = createServer();
  server.listen(candidate, '127.0.0.1');
  try {
    await once(server, 'listening'); // rejects on 'error'
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
