import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { Refused } from '../errors.ts';
import { call } from '../http.ts';
import type { Keep } from '../outbox.ts';
import { Session, VisitorSession } from '../session.ts';

type Answer = { status: number; body: unknown } | Error;
const asked: { path: string; init: RequestInit; body: any }[] = [];
let answer: (body: any) => Answer | Promise<Answer>;
const real = globalThis.fetch;

beforeEach(() => {
  asked.length = 0;
  globalThis.fetch = (async (path: string, init: RequestInit) => {
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
    asked.push({ path, init, body });
    const a = await answer(body);
    if (a instanceof Error) throw a;
    return new Response(typeof a.body === 'string' ? a.body : JSON.stringify(a.body), { status: a.status });
  }) as typeof fetch;
});
afterEach(() => {
  globalThis.fetch = real;
});

function memory(): Keep {
  const map = new Map<string, string>();
  return {
    getItem: (k) => map.get(k) ?? null,
    setItem: (k, v) => void map.set(k, v),
    removeItem: (k) => void map.delete(k),
  };
}

/** Answers as the gateway does, and refuses a refresh token that was spent. */
function issuer(life: number): (body: any) => Answer {
  let n = 0;
  return (body) => {
    if (body.refresh && body.refresh !== `r${n}`) return { status: 401, body: { code: 'unauthorized', message: 'spent' } };
    n++;
    return {
      status: 200,
      body: { access: `a${n}`, expires: Date.now() + life, refresh: `r${n}`, person: 'o310', role: 'operator', org: 12, name: 'Ines' },
    };
  };
}

test('a token is used until it is about to end', async () => {
  answer = issuer(900_000);
  const session = new Session('console', memory(), memory());
  await session.signIn({ ticket: 'x' });
  assert.equal((await session.token()).token, 'a1');
  assert.equal((await session.token()).token, 'a1');
  assert.equal((await session.token(true)).token, 'a2');
  assert.deepEqual(asked.map((a) => a.body), [{ ticket: 'x' }, { refresh: 'r1' }]);
});

test('tabs of one person spend a refresh token once', async () => {
  answer = issuer(900_000);
  const shared = memory();
  const mine = memory();
  let turn: Promise<unknown> = Promise.resolve();
  const locks = { request: (_: string, work: () => Promise<unknown>) => (turn = turn.then(work)) };
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });
  try {
    const one = new Session('console', mine, shared);
    await one.signIn({ ticket: 'x' });
    const copy = memory(); // a duplicated tab starts with a copy of what the first one keeps
    copy.setItem('switchboard.console.person', 'o310');
    const two = new Session('console', copy, shared);
    const tokens = await Promise.all([one.token(true), two.token(true)]);
    assert.deepEqual(tokens.map((t) => t.token), ['a2', 'a2']);
    assert.equal(asked.length, 2);
  } finally {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  }
});

test('two people in two tabs do not disturb each other', async () => {
  const shared = memory();
  const ines = new Session('console', memory(), shared);
  const olu = new Session('console', memory(), shared);
  const person = (name: string) => ({ status: 200, body: { access: name, expires: Date.now() + 900_000, refresh: 'r', person: name, role: 'operator', org: 1, name } });
  answer = (body) => person(body.ticket);
  await ines.signIn({ ticket: 'o1' });
  await olu.signIn({ ticket: 'o2' });
  assert.equal((await ines.token()).token, 'o1');
  olu.forget();
  assert.equal((await ines.token()).token, 'o1');
  await assert.rejects(olu.token(), (err) => err instanceof Refused && err.code === 'unauthorized');
});

test('a visitor whose earlier token is refused is a new visitor', async () => {
  const keep = memory();
  keep.setItem('switchboard.visitor.12', JSON.stringify({ token: 'old', expires: 0, visitor: 'vold' }));
  const session = new VisitorSession(12, keep);
  answer = (body) =>
    body.token
      ? { status: 401, body: { code: 'expired', message: 'over' } }
      : { status: 200, body: { token: 'new', expires: Date.now() + 1e9, visitor: 'vnew' } };
  assert.equal((await session.begin({ name: 'Bo' })).visitor, 'vnew');
  assert.deepEqual(asked.map((a) => a.body), [{ org: 12, name: 'Bo', token: 'old' }, { org: 12, name: 'Bo' }]);
  assert.equal((await session.token()).token, 'new');
});

test('a visitor keeps the earlier identity while the service is away', async () => {
  const keep = memory();
  keep.setItem('switchboard.visitor.12', JSON.stringify({ token: 'old', expires: 0, visitor: 'vold' }));
  const session = new VisitorSession(12, keep);
  answer = () => new TypeError('network');
  await assert.rejects(session.begin(), (err) => err instanceof Refused && err.code === 'unavailable');
  assert.equal(session.current?.token, 'old');
});

test('a damaged storage means that nobody is signed in', () => {
  const keep = memory();
  keep.setItem('switchboard.console.person', 'o1');
  keep.setItem('switchboard.console.o1', '{');
  assert.equal(new Session('console', keep, keep).current, undefined);
});

test('the server’s error is the error', async () => {
  answer = () => ({ status: 429, body: { code: 'too_fast', message: 'slow down', field: 'org', retry_ms: 1200 } });
  await assert.rejects(call('/v1/x'), (err) => {
    assert.ok(err instanceof Refused);
    assert.deepEqual([err.code, err.message, err.field, err.retryMs], ['too_fast', 'slow down', 'org', 1200]);
    return true;
  });
});

test('an answer that is no JSON is a service that is away', async () => {
  for (const a of [{ status: 502, body: '<html>' }, { status: 200, body: '' }, new TypeError('network')]) {
    answer = () => a;
    await assert.rejects(call('/v1/x'), (err) => err instanceof Refused && err.code === 'unavailable');
  }
});

test('tokens travel in a header, without cookies', async () => {
  answer = () => ({ status: 200, body: [] });
  await call('/v1/teams', { token: 't' });
  assert.equal(asked[0]?.path, '/v1/teams');
  assert.equal((asked[0]?.init.headers as Record<string, string>)['Authorization'], 'Bearer t');
  assert.equal(asked[0]?.init.credentials, 'omit');
});
