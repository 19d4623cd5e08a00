/** How numbers, times and people are written. */

/** 4:07, 1:02:09: how long something has lasted. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  const m = Math.floor((s % 3600) / 60);
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

export function hour(ms: number): string {
  return timeOfDay.format(ms);
}
export function day(ms: number): string {
  return dayOfYear.format(ms);
}

const weekdayAndTime = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', hour: '2-digit', minute: '2-digit' });

/** A moment of the coming days. */
export function moment(ms: number): string {
  return weekdayAndTime.format(ms);
}

/** 1 chat, 2 chats. */
export function count(n: number, one: string, many = one + 's'): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** The letters of a name for a round picture. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words.slice(0, 1);
  return letters.map((w) => [...(w ?? '')][0] ?? '').join('').toUpperCase() || '?';
}

/** A steady colour number 0 to 5 of a person. */
export function tint(of: string): string {
  let sum = 0;
  for (const c of of) sum = (sum * 31 + (c.codePointAt(0) ?? 0)) % 9973;
  return String(sum % 6);
}

/** An address as people read it: where, without how. */
export function address(url: string): string {
  return url.replace(/^https?:\/\//, '');
}

/** What a visitor is called who gave no name. */
export function visitorName(visitor: { id: string; name?: string } | undefined): string {
  return visitor?.name || `Visitor ${visitor?.id.slice(-4) ?? ''}`.trim();
}
