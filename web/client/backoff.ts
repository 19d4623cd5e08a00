/** Full jitter: waits spread over the whole range, so that clients of a dead node do not return in step. */
export const BASE_MS = 1_000;
export const CAP_MS = 30_000;

/**
 * Milliseconds to wait before the next try: a random time between 0 and
 * min(30 s, 1 s × 2^tries), the first time over at least spreadMs: what a large node
 * asks of its clients should it die. random returns numbers in [0, 1).
 */
export function backoff(tries: number, random: () => number = Math.random, spreadMs = 0): number {
  const own = BASE_MS * 2 ** Math.min(tries, 16);
  return random() * Math.min(CAP_MS, tries === 0 ? Math.max(own, spreadMs) : own);
}
