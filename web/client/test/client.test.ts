import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { WebSocket } from 'ws';
import { Client, type ClientOptions } from '../client.ts';
import { Refused } from '../errors.ts';
import type { ClientState } from '../state.ts';
import type { WebSocketLike } from '../pipe.ts';
import { Guest } from '../guest.ts';
import { FakeServer, type Fault } from './server.ts';

let server: FakeServer;
let client: Client;
let tokens: boolean[]; // what token() was asked: fresh or not

beforeEach(async () => {
  server = await FakeServer.start();
  tokens = [];
});
afterEach(async () => {
  client.stop();
  await server.stop();
});

function open(options: Partial<ClientOptions> = {}): Client {
  client = new Client({
    url: server.url,
    connect: (url) => new WebSocket(url) as unknown as WebSocketLike,
    random: () => 0.02, // reconnect within 10 ms at first
    token: async (fresh) => {
      tokens.push(fresh);
      return { token: `t${tokens.length}`, expires: Date.now() + 3_600_000 };
    },
    fault: (err) => assert.fail(err),
    ...options,
  });
  client.start();
  return client;
}

/** Resolves when the state satisfies ok; a hung test fails by the runner's timeout. */
function until(ok: (s: ClientState) => boolean): Promise<ClientState> {
  return new Promise((resolve) => {
    let off = () => {};
    off = client.state.subscribe((s) => {
      if (!ok(s)) return;
      resolve(s);
      queueMicrotask(() => off());
    });
  });
}
const chatIs = (ok: (chat: NonNullable<ReturnType<ClientState['chats']['get']>>) => boolean) =>
  until((s) => {
    const chat = s.chats.get(7);
    return chat !== undefined && ok(chat);
  });
const isOpen = () => until((s) => s.link.at === 'open');
const texts = () => client.state.get().chats.get(7)?.messages.map((m) => m.text);
const limit = { timeout: 20_000 };

test('hello comes first, without the token in the address', limit, async () => {
  open({ watch: ['operators'] });
  await isOpen();
  assert.deepEqual(server.received[0], { t: 'hello', v: 1, token: 't1', watch: ['operators'] });
  assert.ok(!server.url.includes('t1'));
});

test('a page that is not used says so, and says it again when it comes back (P-13)', limit, async () => {
  open();
  await isOpen();
  client.idle(true);
  client.idle(true); // told once
  await until(() => server.received.some((f) => f.t === 'idle'));
  assert.deepEqual(server.received.filter((f) => f.t === 'idle'), [{ t: 'idle', on: true }]);
  server.cut();
  await until((s) => s.link.at !== 'open');
  await isOpen();
  assert.equal(server.hellos[1]?.idle, true);
  client.idle(false);
  client.setStatus('Meal', { afterWork: true, forMs: 60_000 }).catch(() => {});
  client.cancelPending().catch(() => {});
  client.returnStatus().catch(() => {});
  while (server.received.filter((f) => f.t === 'status').length < 3) await new Promise((r) => setTimeout(r, 5));
  assert.deepEqual(server.received.filter((f) => f.t === 'idle').at(-1), { t: 'idle', on: false });
  assert.deepEqual(
    server.received.filter((f) => f.t === 'status').map(({ re: _re, ...f }) => f),
    [
      { t: 'status', version: 0, status: 'Meal', when: 'after_work', for_ms: 60_000 },
      { t: 'status', version: 0, when: 'cancel' },
      { t: 'status', version: 0, when: 'return' },
    ],
  );
});

test('a cut connection resumes with what was missed, once', limit, async () => {
  server.say('one');
  open();
  await chatIs((c) => c.messages.length === 1);
  server.cut();
  server.say('two', false);
  server.say('three', false);
  await chatIs((c) => c.messages.length === 3);
  assert.deepEqual(texts(), ['one', 'two', 'three']);
  assert.deepEqual(server.hellos[1]?.chats, [{ chat: 7, pos: '1-1' }]);
});

test('a note whose answer was lost has its old cmid when the same text is said again', limit, async () => {
  const faults: Fault[] = ['drop after'];
  server.fault = () => faults.shift() ?? 'none';
  open();
  await chatIs(() => true);
  await assert.rejects(client.note(7, 'look at this'), Refused);
  await isOpen();
  for (const text of ['something else', 'look at this', 'look at this']) await client.note(7, text);
  const [lost, other, again, later] = server.received.filter((f) => f.t === 'note').map((f) => f.cmid);
  assert.equal(again, lost);
  assert.equal(new Set([lost, other, later]).size, 3);
});

test('a message whose ack was lost is re-sent with its old cmid and stored once', limit, async () => {
  const faults: Fault[] = ['drop after', 'drop before', 'busy'];
  server.fault = () => faults.shift() ?? 'none';
  open();
  await chatIs(() => true);
  client.send(7, 'hello');
  client.send(7, 'again');
  await chatIs((c) => c.messages.length === 2 && c.drafts.length === 0);
  assert.deepEqual(server.log.map((m) => m.text), ['hello', 'again']);
  const sent = server.received.filter((f) => f.t === 'message');
  assert.equal(new Set(sent.map((f) => f.cmid)).size, 2);
  assert.ok(sent.length >= 4, 'it was really sent again');
});

test('what is written while the link is down is sent afterwards, in order', limit, async () => {
  open();
  await chatIs(() => true);
  server.cut();
  await until((s) => s.link.at !== 'open');
  for (const text of ['a', 'b', 'c']) client.send(7, text);
  assert.equal(client.state.get().chats.get(7)?.drafts.length, 3);
  await chatIs((c) => c.messages.length === 3 && c.drafts.length === 0);
  assert.deepEqual(texts(), ['a', 'b', 'c']);
  assert.equal(server.received.filter((f) => f.t === 'message').length, 3, 'each was sent once');
});

test('messages written in a row are sent once each, in order', limit, async () => {
  open();
  await chatIs(() => true);
  for (const text of ['a', 'b', 'c']) client.send(7, text);
  await chatIs((c) => c.messages.length === 3 && c.drafts.length === 0);
  assert.deepEqual(server.received.filter((f) => f.t === 'message').map((f) => f.text), ['a', 'b', 'c']);
});

// W-4: a hole in the middle, a hole that is told, a log that was rewritten.
test('a skipped number makes the client ask, and it then has all', limit, async () => {
  open();
  await chatIs(() => true);
  server.say('lost', false);
  server.say('seen');
  await chatIs((c) => c.messages.length === 2);
  assert.deepEqual(texts(), ['lost', 'seen']);
  assert.equal(server.received.filter((f) => f.t === 'resume').length, 1);
});

test('a chat that is newly ours is read from its beginning', limit, async () => {
  server.closed = true; // not ours yet
  open();
  await isOpen();
  server.closed = false;
  server.say('help', false);
  server.send({ t: 'chat', chat: 7, state: 'active' });
  await chatIs((c) => c.messages.length === 1);
  server.send({ t: 'chat', chat: 7, state: 'active', pos: '1-1' });
  server.send({ t: 'queue', waiting: 1 });
  await until((s) => s.queue === 1);
  assert.equal(server.received.filter((f) => f.t === 'resume').length, 1);
});

test('gap makes the client ask for every chat it knows', limit, async () => {
  server.say('one');
  open();
  await chatIs((c) => c.messages.length === 1);
  server.say('two', false);
  server.send({ t: 'gap' });
  await chatIs((c) => c.messages.length === 2);
});

test('a last message that was lost beside the close is asked for after a gap, once', limit, async () => {
  server.say('one');
  open();
  await chatIs((c) => c.messages.length === 1);
  server.say('goodbye', false);
  server.closed = true;
  server.send({ t: 'chat', chat: 7, state: 'closed' });
  await chatIs((c) => c.info.state === 'closed');
  server.send({ t: 'gap' });
  await chatIs((c) => c.messages.length === 2);
  const resumes = () => server.received.filter((f) => f.t === 'resume').length;
  const asked = resumes();
  server.send({ t: 'gap' });
  server.send({ t: 'chat', chat: 7, state: 'closed', reason: 'done' });
  await chatIs((c) => c.info.reason === 'done'); // and the gap was read before
  assert.equal(resumes(), asked, 'a closed chat that is whole is asked for again');
});

test('a store that came back with a shorter log replaces what is shown', limit, async () => {
  for (const text of ['a', 'b', 'c']) server.say(text);
  open();
  await chatIs((c) => c.messages.length === 3);
  server.log.length = 1;
  server.gen = 2;
  server.say('B');
  await chatIs((c) => c.messages.length === 2);
  assert.deepEqual(texts(), ['a', 'B']);
});

test('the first message of a chat is stored once although the answer was lost', limit, async () => {
  server.closed = true; // no chat yet
  open();
  await isOpen();
  server.closed = false;
  const start = client.startChat({ team: 1, text: 'help', page: '' });
  server.cut(); // before or after the request arrived: both must end the same
  assert.equal(await start, 7);
  await chatIs((c) => c.messages.length === 1 && c.drafts.length === 0);
  assert.deepEqual(server.log.map((m) => m.text), ['help']);
});

test('a message to a closed chat is refused, shown, and can be given up', limit, async () => {
  open();
  await chatIs(() => true);
  server.closed = true;
  client.send(7, 'too late');
  const s = await chatIs((c) => c.drafts[0]?.failed !== undefined);
  const draft = s.chats.get(7)?.drafts[0];
  assert.equal(draft?.failed, 'The chat is over.');
  client.discard(7, draft?.cmid ?? '');
  assert.deepEqual(client.state.get().chats.get(7)?.drafts, []);
});

test('faults at random lose nothing, repeat nothing and keep the order', { timeout: 60_000 }, async () => {
  let seed = 11;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const kinds: Fault[] = ['none', 'none', 'none', 'drop before', 'drop after', 'busy', 'echo twice', 'skip echo'];
  server.fault = () => kinds[random(kinds.length)] as Fault;
  open({ random: () => 0.001 });
  await chatIs(() => true);
  let mine = 0;
  let theirs = 0;
  while (mine < 150) {
    client.send(7, `v${mine++}`);
    if (random(3) === 0) server.say(`o${theirs++}`, random(2) === 0);
    if (random(12) === 0) server.cut();
    if (random(4) === 0) await new Promise(setImmediate);
  }
  server.fault = () => 'none';
  await chatIs((c) => c.drafts.length === 0 && c.messages.length >= mine);
  server.send({ t: 'gap' });
  await chatIs((c) => c.messages.length === mine + theirs);
  assert.deepEqual(texts(), server.log.map((m) => m.text));
  const own = (texts() ?? []).filter((t) => t.startsWith('v'));
  assert.deepEqual(own, Array.from({ length: mine }, (_, i) => `v${i}`));
});

test('a ping is answered', limit, async () => {
  open();
  await isOpen();
  server.send({ t: 'ping' });
  server.send({ t: 'queue', waiting: 4 });
  await until((s) => s.queue === 4);
  await waitFor(() => server.received.some((f) => f.t === 'pong'));
});

test('the first try after a large node has died is spread as its ping asked', limit, async () => {
  open({ random: () => 0.5 });
  await isOpen();
  server.send({ t: 'ping', spread_ms: 60_000 });
  await waitFor(() => server.received.some((f) => f.t === 'pong'));
  server.cut();
  await until((s) => s.link.at === 'waiting');
  const link = client.state.get().link;
  assert.ok(link.at === 'waiting' && link.retryAt - Date.now() > 1_000, 'as soon as without');
});

// W-2: both sides give up on silence; the node's side is in hub.
test('a server silent for its own timeout is left, and a new connection made', limit, async () => {
  server.ready = { timeout_ms: 60 };
  open();
  await isOpen();
  await waitFor(() => server.hellos.length >= 2);
});

test('4001 asks for a fresh token', limit, async () => {
  open();
  await isOpen();
  server.close(4001);
  await waitFor(() => server.hellos.length === 2);
  assert.deepEqual(tokens, [false, true]);
});

test('a token that cannot be had stops the client and says so', limit, async () => {
  open({ token: () => Promise.reject(new Refused('unauthorized', 'please sign in')) });
  const s = await until((s) => s.link.at === 'stopped');
  assert.deepEqual(s.link, { at: 'stopped', why: 'unauthorized', message: 'please sign in' });
});

test('a token service that is away is asked again', limit, async () => {
  let asked = 0;
  open({
    token: async () => {
      if (++asked < 3) throw new Refused('unavailable', 'away');
      return { token: 't', expires: Date.now() + 3_600_000 };
    },
  });
  await isOpen();
  assert.equal(asked, 3);
});

test('4003 stops for good, with the reason', limit, async () => {
  open();
  await isOpen();
  server.send({ t: 'logout', order: 3021, reason: 'End of shift' });
  server.close(4003);
  const s = await until((s) => s.link.at === 'stopped');
  assert.equal(s.link.at === 'stopped' && s.link.why, 'logged_out');
  assert.equal(s.loggedOut?.reason, 'End of shift');
  assert.equal(server.hellos.length, 1);
});

for (const code of [4000, 1007, 1009]) {
  test(`${code} does not loop`, limit, async () => {
    open();
    await isOpen();
    server.close(code);
    const s = await until((s) => s.link.at === 'stopped');
    assert.equal(s.link.at === 'stopped' && s.link.why, 'protocol');
  });
}

test('4010 comes back without positions', limit, async () => {
  server.say('one');
  open();
  await chatIs((c) => c.messages.length === 1);
  server.close(4010);
  await waitFor(() => server.hellos.length === 2);
  assert.equal(server.hellos[1]?.chats, undefined);
});

test('4012 comes back when the server said, not before', limit, async () => {
  open();
  await isOpen();
  server.send({ t: 'moving', in_ms: 200 });
  server.close(4012);
  const before = Date.now();
  await until((s) => s.link.at === 'waiting');
  client.wake(); // must not cut the wait short
  await waitFor(() => server.hellos.length === 2);
  assert.ok(Date.now() - before >= 190);
});

test('4029 backs off for seconds', limit, async () => {
  open();
  await isOpen();
  server.close(4029);
  const s = await until((s) => s.link.at === 'waiting');
  assert.ok(s.link.at === 'waiting' && s.link.retryAt - Date.now() > 4_000);
});

test('a long wait ends when the network comes back', limit, async () => {
  server.refuse = () => ({ code: 1013 });
  open({ random: () => 0.999 });
  await until((s) => s.link.at === 'waiting' && s.link.tries >= 2 && s.link.retryAt - Date.now() > 700);
  server.refuse = () => undefined;
  client.wake();
  const s = client.state.get();
  assert.ok(s.link.at === 'waiting' && s.link.retryAt - Date.now() <= 1000);
  await isOpen();
});

// W-1. The server's own timeout would end it as well, after 18 s.
test('a probe after sleep replaces a black hole', { timeout: 5_000 }, async () => {
  open({ probeMs: 50 });
  await isOpen();
  server.silent = true;
  client.wake();
  await until((s) => s.link.at !== 'open');
  server.silent = false;
  await isOpen();
});

test('a probe of a healthy link keeps it', limit, async () => {
  open({ probeMs: 50 });
  await isOpen();
  client.wake();
  await waitFor(() => server.received.some((f) => f.t === 'auth'));
  await new Promise((r) => setTimeout(r, 100)); // longer than the probe waits
  assert.equal(client.state.get().link.at, 'open');
  assert.equal(server.hellos.length, 1);
});

test('a server that never answers hello is left', limit, async () => {
  server.silent = true;
  open({ readyMs: 40 });
  await waitFor(() => server.hellos.length >= 2);
});

test('the token is renewed in-band before it ends', limit, async () => {
  const life = 2_400;
  open({ token: async (fresh) => (tokens.push(fresh), { token: `t${tokens.length}`, expires: Date.now() + life }) });
  await isOpen();
  await waitFor(() => server.received.some((f) => f.t === 'auth' && f.token === 't2'));
  assert.deepEqual(tokens, [false, true]);
  assert.equal(server.hellos.length, 1);
});

test('typing is said at most every three seconds and ended once', limit, async () => {
  open();
  await chatIs(() => true);
  for (let i = 0; i < 5; i++) client.typing(7, true);
  client.typing(7, false);
  client.typing(7, false);
  await waitFor(() => server.received.filter((f) => f.t === 'typing').length === 2);
  assert.deepEqual(server.received.filter((f) => f.t === 'typing').map((f) => f.on), [true, false]);
});

test('a typing mark of the other side ends with their message', limit, async () => {
  open();
  await chatIs(() => true);
  server.send({ t: 'typing', chat: 7, from: 'o310', on: true, ttl_ms: 6000 });
  await chatIs((c) => c.typing.length === 1);
  server.say('there');
  await chatIs((c) => c.messages.length === 1);
  assert.deepEqual(client.state.get().chats.get(7)?.typing, []);
});

test('signing out with open work is refused, and without it resolves with the close', limit, async () => {
  open();
  await isOpen();
  server.busy = true;
  await assert.rejects(client.signOut('now'), (err) => err instanceof Refused && err.code === 'conflict');
  server.busy = false;
  await client.signOut('now');
  const s = client.state.get();
  assert.equal(s.link.at === 'stopped' && s.link.why, 'logged_out');
});

test('requests are rejected when the link ends', limit, async () => {
  open();
  await isOpen();
  const call = client.call('start', 'x'); // the fake never answers calls
  server.cut();
  await assert.rejects(call, (err) => err instanceof Refused && err.code === 'disconnected');
});

// W-1 at its full length: no sign of life within 5 s of waking means a new socket.
test('a woken page gives a dead socket five seconds, not more', { timeout: 15_000 }, async () => {
  open();
  await isOpen();
  server.silent = true;
  const woke = Date.now();
  client.wake();
  await until((s) => s.link.at !== 'open');
  const took = Date.now() - woke;
  assert.ok(took >= 4_900 && took < 9_000, `it took ${took} ms`);
  server.silent = false;
  await isOpen();
  assert.equal(server.hellos.length >= 2, true);
});

const asOperator = { person: 'o311', role: 'operator', statuses: ['Available'], preview: true };

// W-3: what an operator sends says what was on the screen; what a colleague wrote
// since is shown first, and sending again after that is a decision.
test('a message that crosses with a colleague is held until it is sent again', limit, async () => {
  server.ready = asOperator;
  server.say('from a colleague');
  open();
  await chatIs((c) => c.messages.length === 1);
  server.say('you have not seen this', false);
  client.send(7, 'my answer');
  let s = await chatIs((c) => c.drafts[0]?.failed !== undefined);
  assert.match(s.chats.get(7)?.drafts[0]?.failed ?? '', /wrote since/);
  assert.equal(server.received.find((f) => f.t === 'message')?.seen, 1);
  server.send({ t: 'gap' });
  s = await chatIs((c) => c.messages.length === 2);
  client.retry(7, s.chats.get(7)?.drafts[0]?.cmid ?? '');
  await chatIs((c) => c.messages.length === 3 && c.drafts.length === 0);
  assert.deepEqual(texts(), ['from a colleague', 'you have not seen this', 'my answer']);
});

test('a visitor is never held back', limit, async () => {
  server.say('one');
  open();
  await chatIs((c) => c.messages.length === 1);
  client.send(7, 'mine');
  await chatIs((c) => c.drafts.length === 0 && c.messages.length === 2);
  assert.equal(server.received.find((f) => f.t === 'message')?.seen, undefined);
});

// T-5: a visitor's text goes with the mark at most once a second, the last one always;
// an operator's never does, nor does a visitor's where the organization has not asked.
test('what a visitor types is said once a second, and only where it is shown', { timeout: 20_000 }, async () => {
  server.ready = { preview: true };
  open();
  await chatIs(() => true);
  const typed = () => server.received.filter((f) => f.t === 'typing');
  for (let n = 1; n <= 20; n++) client.typing(7, true, false, 'x'.repeat(n));
  await waitFor(() => typed().length === 1);
  for (let n = 21; n <= 40; n++) client.typing(7, true, false, 'x'.repeat(n));
  await waitFor(() => typed().length === 2);
  assert.deepEqual(typed().map((f) => f.text.length), [20, 40]);
  client.typing(7, true, false, 'too late');
  client.send(7, 'sent');
  await chatIs((c) => c.drafts.length === 0 && c.messages.length === 1);
  await new Promise((r) => setTimeout(r, 1_300)); // a preview that was due would be here
  assert.equal(typed().length, 2);
});

test('an operator sends no preview, and a visitor none unasked', limit, async () => {
  server.ready = asOperator;
  open();
  await chatIs(() => true);
  client.typing(7, true, false, 'secret');
  await waitFor(() => server.received.some((f) => f.t === 'typing'));
  client.stop();
  server.ready = {};
  client.start();
  await waitFor(() => server.hellos.length === 2);
  await isOpen();
  client.typing(7, true, false, 'secret');
  await waitFor(() => server.received.filter((f) => f.t === 'typing').length === 2);
  assert.ok(!JSON.stringify(server.received).includes('secret'));
});

test('a preview is shown until the mark ends', limit, async () => {
  server.ready = asOperator;
  open();
  await chatIs(() => true);
  server.send({ t: 'typing', chat: 7, from: 'v1', on: true, ttl_ms: 6000, text: 'My inv' });
  server.send({ t: 'typing', chat: 7, from: 'v1', on: true, ttl_ms: 6000 });
  const s = await chatIs((c) => c.typing.length === 1);
  assert.equal(s.chats.get(7)?.typing[0]?.text, 'My inv');
  server.send({ t: 'typing', chat: 7, from: 'v1', on: false });
  await chatIs((c) => c.typing.length === 0);
});

// T-3: typing belongs to its chat; what goes to somebody else, or ends, starts clean.
test('typing does not outlive the state of its chat', limit, async () => {
  open();
  await chatIs(() => true);
  for (const state of ['waiting', 'closed']) {
    server.send({ t: 'chat', chat: 7, state: 'active' });
    server.send({ t: 'typing', chat: 7, from: 'o310', on: true, ttl_ms: 6000 });
    await chatIs((c) => c.typing.length === 1);
    server.send({ t: 'chat', chat: 7, state });
    await chatIs((c) => c.info.state === state && c.typing.length === 0);
  }
  server.send({ t: 'chat', chat: 8, state: 'active' });
  await until((s) => s.chats.has(8));
  assert.deepEqual(client.state.get().chats.get(8)?.typing, []);
});

// C-1: a colleague who has the chat open but looks elsewhere is told apart.
test('a hidden page says that it has the chat open and does not look', limit, async () => {
  server.ready = asOperator;
  open();
  await chatIs(() => true);
  client.view(7);
  client.away(true);
  client.away(true);
  client.away(false);
  const said = () => server.received.filter((f) => f.t === 'viewing').map((f) => f.away === true);
  await waitFor(() => said().length === 3);
  assert.deepEqual(said(), [false, true, false]);
  server.send({ t: 'viewing', chat: 7, from: 'o312', on: true, ttl_ms: 30_000, away: true });
  const s = await chatIs((c) => c.viewing.length === 1);
  assert.equal(s.chats.get(7)?.viewing[0]?.away, true);
});

// P-14, F-4: a board comes in parts; changes replace, and who is gone leaves.
test('a board in parts is one board', limit, async () => {
  const one = (id: number, status: string) => ({
    id, name: `n${id}`, role: 'operator', account: 0, status, intent: status, since: 1, version: 1, chats: 0, calls: 0, offers: 0, here: true,
  });
  open();
  await isOpen();
  server.send({ t: 'presence', full: true, more: true, operators: [one(1, 'Break'), one(2, 'Break')] });
  server.send({ t: 'presence', operators: [one(4, 'Meal')] });
  server.send({ t: 'presence', operators: [one(3, 'Break')], gone: [2] });
  let s = await until((s) => s.operators.size === 3);
  assert.deepEqual([...s.operators.keys()].sort(), [1, 3, 4]);
  client.watch({ watch: ['operators'], operators: [3] });
  await waitFor(() => server.received.some((f) => f.t === 'watch' && f.operators?.[0] === 3));
  assert.equal(client.state.get().operators.size, 0, 'nothing of the old view is kept');
  server.send({ t: 'presence', full: true, operators: [one(3, 'Meal')] });
  s = await until((s) => s.operators.size === 1);
  server.cut();
  await waitFor(() => server.hellos.length === 2);
  assert.deepEqual(server.hellos[1]?.operators, [3]);
});

// P-7: a page without an identity hears whether anybody is there, on every change,
// and claims nothing while its connection is away.
test('a guest hears who is there and comes back by itself', limit, async () => {
  open(); // for afterEach
  await isOpen();
  const heard: (boolean | undefined)[] = [];
  const guest = new Guest({
    url: server.url, org: 12, team: 7, random: () => 0,
    connect: (url) => new WebSocket(url) as unknown as WebSocketLike,
    changed: (open) => heard.push(open),
  });
  guest.start();
  await waitFor(() => server.hellos.some((h) => h.org === 12));
  const hello = server.hellos.find((h) => h.org === 12);
  assert.deepEqual(hello, { t: 'hello', v: 1, org: 12, watch: ['availability'], team: 7 });
  server.send({ t: 'availability', team: 7, open: true });
  await waitFor(() => heard.at(-1) === true);
  server.send({ t: 'ping' });
  await waitFor(() => server.received.some((f) => f.t === 'pong'));
  server.send({ t: 'availability', team: 7, open: false });
  await waitFor(() => heard.at(-1) === false);
  const hellos = server.hellos.filter((h) => h.org === 12).length;
  server.cut();
  await waitFor(() => heard.at(-1) === undefined);
  await waitFor(() => server.hellos.filter((h) => h.org === 12).length === hellos + 1);
  server.send({ t: 'availability', team: 7, open: true });
  await waitFor(() => heard.at(-1) === true);
  guest.stop();
  assert.equal(guest.open, undefined);
});

async function waitFor(ok: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !ok(); ) {
    assert.ok(Date.now() < end, 'the condition never came true');
    await new Promise((r) => setTimeout(r, 5));
  }
}
