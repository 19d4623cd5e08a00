/**
 * Shapes: runtime checks of JSON from which the compile-time types are derived,
 * so that a type and its check cannot drift apart.
 *
 * A shape takes any value and returns it typed, with unknown fields left out;
 * it throws a TypeError that names the place when the value does not fit.
 */
export type Shape<T> = (value: unknown, at: string) => T;

/** The type that a shape checks. */
export type Of<S> = S extends Shape<infer T> ? T : never;

interface Optional<T> extends Shape<T> {
  readonly optional: true;
}
type Fields = Record<string, Shape<unknown>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Optional<unknown> ? K : never;
}[keyof F];
type Flat<T> = { [K in keyof T]: T[K] };
type Fielded<F extends Fields> = Flat<
  { [K in Exclude<keyof F, OptionalKeys<F>>]: Of<F[K]> } & { [K in OptionalKeys<F>]?: Of<F[K]> }
>;

function mismatch(at: string, want: string, got: unknown): TypeError {
  // The value itself stays out: it may be what somebody wrote in a chat.
  return new TypeError(`${at}: expected ${want}, got ${got === null ? 'null' : typeof got}`);
}

/** A string. */
export const text: Shape<string> = (v, at) => {
  if (typeof v !== 'string') throw mismatch(at, 'a string', v);
  return v;
};

/** An integer that a double holds exactly. */
export const integer: Shape<number> = (v, at) => {
  if (!Number.isSafeInteger(v)) throw mismatch(at, 'an integer', v);
  return v as number;
};

/** true or false. */
export const flag: Shape<boolean> = (v, at) => {
  if (typeof v !== 'boolean') throw mismatch(at, 'true or false', v);
  return v;
};

/** Exactly one of the words. */
/* @__NO_SIDE_EFFECTS__ */
export function oneOf<const W extends string>(...words: W[]): Shape<W> {
  return (v, at) => {
    if (!words.includes(v as W)) throw mismatch(at, words.join(' or '), v);
    return v as W;
  };
}

/** A field that may be missing or null; it is then left out. */
/* @__NO_SIDE_EFFECTS__ */
export function optional<T>(shape: Shape<T>): Optional<T> {
  const copy: Shape<T> = (v, at) => shape(v, at);
  return Object.assign(copy, { optional: true as const });
}

/** A list; missing or null counts as empty, as Go writes a nil slice. */
/* @__NO_SIDE_EFFECTS__ */
export function list<T>(item: Shape<T>): Shape<T[]> {
  return (v, at) => {
    if (v === undefined || v === null) return [];
    if (!Array.isArray(v)) throw mismatch(at, 'a list', v);
    return v.map((each, i) => item(each, `${at}[${i}]`));
  };
}

/** An object with these fields; others are dropped. */
/* @__NO_SIDE_EFFECTS__ */
export function object<F extends Fields>(fields: F): Shape<Fielded<F>> {
  return (v, at) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) throw mismatch(at, 'an object', v);
    const given = v as Record<string, unknown>;
    const out: Record<string, unknown> = {};
    for (const [name, shape] of Object.entries(fields)) {
      const value = given[name];
      if ('optional' in shape && (value === undefined || value === null)) continue;
      out[name] = shape(value, `${at}.${name}`);
    }
    return out as Fielded<F>;
  };
}
