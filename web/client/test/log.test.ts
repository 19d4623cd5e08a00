import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '../frames.ts';
import { Log } from '../log.ts';

function message(seq: number, gen = 1): Message {
  return { chat: 7, pos: `${seq}-${gen}`, seq, at: seq, from: 'o1', cmid: `c${seq}.${gen}`, text: `${seq}` };
}
function range(from: number, to: number, gen = 1): Message[] {
  return Array.from({ length: to - from + 1 }, (_, i) => message(from + i, gen));
}
function positions(log: Log): string[] {
  return log.messages.map((m) => m.pos);
}

test('messages in order are taken once', () => {
  const log = new Log();
  assert.equal(log.apply(message(1)), 'new');
  assert.equal(log.apply(message(1)), 'known');
  assert.equal(log.apply(message(2)), 'new');
  assert.deepEqual(positions(log), ['1-1', '2-1']);
  assert.equal(log.pos, '2-1');
});

test('a skipped number is a gap, and what came early is kept for the answer', () => {
  const log = new Log();
  log.apply(message(1));
  assert.equal(log.apply(message(4)), 'gap');
  assert.deepEqual(positions(log), ['1-1']);
  assert.equal(log.resumed({ t: 'resumed', chat: 7, ok: true, messages: range(2, 3), pos: '3-1' }), 'new');
  assert.deepEqual(positions(log), ['1-1', '2-1', '3-1', '4-1']);
});

test('an answer that is older than what came live asks again', () => {
  const log = new Log();
  log.apply(message(5));
  assert.equal(log.resumed({ t: 'resumed', chat: 7, ok: true, messages: range(1, 3), pos: '3-1' }), 'gap');
  assert.equal(log.resumed({ t: 'resumed', chat: 7, ok: true, messages: [message(4)], pos: '4-1' }), 'new');
  assert.equal(log.messages.length, 5);
});

test('an unknown position replaces everything', () => {
  const log = new Log();
  for (const m of range(1, 7)) log.apply(m);
  assert.equal(log.apply(message(6, 2)), 'gap', 'the same number of another generation');
  log.resumed({ t: 'resumed', chat: 7, ok: false, messages: [...range(1, 5), message(6, 2)], pos: '6-2' });
  assert.deepEqual(positions(log), ['1-1', '2-1', '3-1', '4-1', '5-1', '6-2']);
});

test('a log that cannot be made whole is dropped and read from the start', () => {
  const log = new Log();
  log.apply(message(1));
  log.apply(message(9));
  const empty = { t: 'resumed', chat: 7, ok: true, messages: [], pos: '1-1' } as const;
  assert.equal(log.resumed({ ...empty, messages: [] }), 'gap');
  assert.equal(log.resumed({ ...empty, messages: [] }), 'gap');
  assert.equal(log.pos, '', 'the next resume starts from the beginning');
});

test('any order and any repeats end in the whole log', () => {
  let seed = 3;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 500; round++) {
    const all = range(1, 1 + random(12));
    const log = new Log();
    for (let i = 0; i < 30; i++) {
      const m = all[random(all.length)] as Message;
      if (log.apply(m) !== 'gap' || random(2) === 0) continue;
      // The server answers from what is stored, which may be less than was seen.
      const end = log.messages.length + random(all.length - log.messages.length + 1);
      log.resumed({ t: 'resumed', chat: 7, ok: true, messages: all.slice(log.messages.length, end), pos: '' });
    }
    for (const m of all) log.apply(m);
    assert.deepEqual(log.messages, all);
  }
});
