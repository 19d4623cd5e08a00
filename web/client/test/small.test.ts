import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../backoff.ts';
import { newCmid, Outbox } from '../outbox.ts';
import { addNotes, expire, initial, reduce } from '../state.ts';
import { Store } from '../store.ts';

test('backoff is full jitter from 1 s up to 30 s', () => {
  const most = (tries: number) => backoff(tries, () => 1);
  assert.deepEqual([0, 1, 2, 4, 5, 40].map(most), [1000, 2000, 4000, 16000, 30000, 30000]);
  assert.equal(backoff(9, () => 0), 0);
});

test('client message ids are short, safe and never the same', () => {
  const ids = Array.from({ length: 1000 }, newCmid);
  assert.equal(new Set(ids).size, 1000);
  for (const id of ids) assert.match(id, /^[0-9a-z-]{20,64}$/);
});

function memory(): { map: Map<string, string>; getItem(k: string): string | null; setItem(k: string, v: string): void; removeItem(k: string): void } {
  const map = new Map<string, string>();
  return {
    map,
    getItem: (k) => map.get(k) ?? null,
    setItem: (k, v) => void map.set(k, v),
    removeItem: (k) => void map.delete(k),
  };
}

test('drafts survive a reload, in order, with their ids', () => {
  const keep = memory();
  const before = new Outbox(keep);
  const a = before.add(7, 'one');
  before.add(7, 'two');
  before.add(8, 'other');
  before.fail(a.cmid, 'no');
  const after = new Outbox(keep);
  assert.deepEqual(after.of(7), before.of(7));
  assert.equal(after.next(7)?.text, 'two', 'a refused one is not sent again by itself');
  after.retry(a.cmid);
  assert.equal(after.next(7)?.cmid, a.cmid);
  for (const d of [...after.of(7), ...after.of(8)]) after.remove(d.cmid);
  assert.equal(keep.map.size, 0);
});

test('a damaged storage is an empty outbox', () => {
  for (const bad of ['', '{', '7', '[1,null,{"chat":1}]', '[{"chat":"1","cmid":"a","text":"x","at":1}]']) {
    const keep = memory();
    keep.setItem('switchboard.outbox', bad);
    assert.deepEqual(new Outbox(keep).chats(), []);
  }
});

test('the outbox is bounded', () => {
  const box = new Outbox();
  for (let i = 0; i < Outbox.LIMIT; i++) box.add(1, 'x');
  assert.throws(() => box.add(1, 'x'), RangeError);
});

test('a store tells several changes of one turn once', async () => {
  const store = new Store(0);
  const seen: number[] = [];
  const off = store.subscribe((n) => seen.push(n));
  store.set(1);
  store.set(2);
  await Promise.resolve();
  off();
  store.set(3);
  await Promise.resolve();
  assert.deepEqual(seen, [0, 2]);
});

test('ready closes what ended while we were away', () => {
  const open = reduce(initial, { t: 'chat', chat: 7, state: 'active', operator: { id: 1, name: 'I' } }, 0);
  const state = reduce(open, {
    t: 'ready', person: 'v1', role: 'visitor', org: 1, node: '1', now: 0, ping_ms: 1, timeout_ms: 1,
    typing_ms: 1, expires: 1, statuses: [], chats: [{ chat: 8, state: 'waiting', place: 2 }], offers: [],
  }, 0);
  assert.equal(state.chats.get(7)?.info.state, 'closed');
  assert.equal(state.chats.get(7)?.info.operator?.name, 'I', 'who answered stays known');
  assert.equal(state.chats.get(8)?.info.place, 2);
});

test('presence deltas replace by id, a full one replaces all', () => {
  const one = { id: 1, name: 'A', role: 'operator', account: 0, status: 'Available', intent: 'Available', since: 0, version: 1, chats: 0, calls: 0, offers: 0, here: true } as const;
  let s = reduce(initial, { t: 'presence', full: true, operators: [one, { ...one, id: 2 }] }, 0);
  s = reduce(s, { t: 'presence', operators: [{ ...one, status: 'Break' }] }, 0);
  assert.deepEqual([...s.operators.values()].map((o) => o.status), ['Break', 'Available']);
  s = reduce(s, { t: 'presence', full: true, operators: [one] }, 0);
  assert.equal(s.operators.size, 1);
});

test('a typing mark ends by itself, and only in the chat it belongs to', () => {
  let s = reduce(initial, { t: 'chat', chat: 7, state: 'active' }, 0);
  s = reduce(s, { t: 'typing', chat: 7, from: 'o1', on: true, ttl_ms: 6000 }, 1000);
  s = reduce(s, { t: 'typing', chat: 9, from: 'o1', on: true, ttl_ms: 6000 }, 1000);
  assert.equal(s.chats.size, 1);
  assert.equal(expire(s, 6999).next, 7000);
  const over = expire(s, 7000);
  assert.deepEqual(over.state.chats.get(7)?.typing, []);
  assert.equal(over.next, 0);
});

test('an offer is over when it is gone or became a chat', () => {
  const offer = { t: 'offer', chat: 7, token: 'x', ttl_ms: 100, team: 1, waited_ms: 5 } as const;
  const offered = reduce(initial, offer, 50);
  assert.equal(offered.offers.get(7)?.until, 150);
  assert.equal(reduce(offered, { t: 'offer.gone', chat: 7, reason: 'timeout' }, 60).offers.size, 0);
  assert.equal(reduce(offered, { t: 'chat', chat: 7, state: 'active' }, 60).offers.size, 0);
});

test('who is in a chat is told whole, and a chat that went on without us is gone', () => {
  const people = { with: [{ id: 2, name: 'Bo', role: 'consult' }], invites: [{ id: 3, name: 'Sue', role: 'hold' }] };
  const several = reduce(initial, { t: 'chat', chat: 7, state: 'active', role: 'join', ...people }, 50);
  assert.deepEqual(several.chats.get(7)?.info.with, people.with);
  const alone = reduce(several, { t: 'chat', chat: 7, state: 'active' }, 60).chats.get(7)?.info;
  assert.deepEqual([alone?.with, alone?.invites, alone?.role], [undefined, undefined, undefined]);
  const parted = reduce(several, { t: 'chat.gone', chat: 7, state: 'active', reason: 'take over' }, 60);
  assert.deepEqual([parted.chats.size, parted.parted?.reason], [0, 'take over']);
});

test('notes come once each and in order, whichever way they come', () => {
  const note = (seq: number, cmid: string) => ({ t: 'note' as const, chat: 7, seq, at: seq * 10, from: 'o2', cmid, text: cmid });
  let s = reduce(initial, { t: 'chat', chat: 7, state: 'active' }, 50);
  s = reduce(s, note(2, 'b'), 50);
  s = addNotes(s, 7, [note(1, 'a'), note(2, 'b')]); // read over HTTP
  s = reduce(s, note(1, 'a'), 50);
  assert.deepEqual(s.chats.get(7)?.notes.map((n) => n.text), ['a', 'b']);
  assert.equal(reduce(s, { ...note(1, 'c'), chat: 8 }, 50).chats.size, 1, 'a note made a chat');
});

test('who takes part in a chat and is asked to hold it keeps the offer', () => {
  const me = { ...initial, me: { person: 'o3', role: 'operator', org: 1, name: 'Sue' } };
  const offered = reduce(me, { t: 'offer', chat: 7, token: 'x', ttl_ms: 100, team: 1, waited_ms: 5, role: 'hold' }, 50);
  const frame = { t: 'chat', chat: 7, state: 'active', invites: [{ id: 3, name: 'Sue', role: 'hold' }] } as const;
  assert.equal(reduce(offered, { ...frame, invites: [...frame.invites] }, 60).offers.size, 1);
  assert.equal(reduce(offered, { t: 'chat', chat: 7, state: 'active' }, 60).offers.size, 0);
});
