import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { bytes, decode, fromClient, fromServer } from '../frames.ts';
import type { Shape } from '../schema.ts';

const golden = new URL('../../../../testdata/frames/', import.meta.url);
const names = readdirSync(golden).filter((n) => n.endsWith('.json')).map((n) => n.slice(0, -5));
const shapes: Record<string, Shape<unknown>> = { ...fromServer, ...fromClient };

for (const name of names) {
  test(`golden ${name} decodes, and nothing of it is unknown here`, () => {
    const value: unknown = JSON.parse(readFileSync(new URL(`${name}.json`, golden), 'utf8'));
    const shape = shapes[name];
    assert.ok(shape, `no shape for ${name}.json`);
    assert.deepEqual(shape(value, name), value);
  });
}

test('every shape has a golden frame', () => {
  assert.deepEqual(Object.keys(shapes).sort(), [...names].sort());
});

test('a frame is several objects, in order, empty lines skipped', () => {
  const kinds = decode('{"t":"ping"}\n\n{"t":"queue","waiting":3}\n', assert.fail).map((f) => f.t);
  assert.deepEqual(kinds, ['ping', 'queue']);
});

test('unknown kinds and unknown fields are ignored', () => {
  const frames = decode('{"t":"later"}\n{"t":"ok","re":"1","more":true}\n{"t":"toString"}', assert.fail);
  assert.deepEqual(frames, [{ t: 'ok', re: '1' }]);
});

test('a malformed object is reported and does not take its neighbours with it', () => {
  const faults: string[] = [];
  const text = '{"t":"queue","waiting":"3"}\nnonsense\n[1]\n{"t":"message","chat":1}\n{"t":"ping"}';
  assert.deepEqual(decode(text, (e) => faults.push(e.message)), [{ t: 'ping' }]);
  assert.deepEqual(faults, [
    'queue.waiting: expected an integer, got string',
    'a frame was not JSON',
    'message.pos: expected a string, got undefined',
  ]);
});

test('a fault never repeats what people wrote', () => {
  const faults: string[] = [];
  decode('{"t":"message","chat":"my secret"}\n{"t":"message" my secret', (e) => faults.push(e.message));
  assert.equal(faults.length, 2);
  assert.ok(!faults.join().includes('secret'));
});

test('the nil slices of Go are empty lists', () => {
  const [frame] = decode('{"t":"presence","full":true,"operators":null}', assert.fail);
  assert.deepEqual(frame, { t: 'presence', full: true, operators: [] });
});

test('the limit of a text counts bytes', () => {
  assert.equal(bytes('aé€😀'), 1 + 2 + 3 + 4);
});

test('decode survives random damage to golden frames', () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const texts = names.map((n) => readFileSync(new URL(`${n}.json`, golden), 'utf8'));
  const bits = ['null', '-1', '{}', '[]', '"', '}', '\n', '1e99', '\u0000'];
  for (let i = 0; i < 20_000; i++) {
    const text = texts[random(texts.length)] ?? '';
    const at = random(text.length);
    const cut = text.slice(0, at) + (bits[random(bits.length)] ?? '') + text.slice(at + random(9));
    for (const frame of decode(cut, (e) => assert.ok(e instanceof TypeError))) assert.ok(frame.t in fromServer);
  }
});
