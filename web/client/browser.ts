import type { Keep } from './outbox.ts';

/** The address of /ws on the node that served this page. */
export function socketURL(from: Location = location): string {
  return `${from.protocol === 'https:' ? 'wss' : 'ws'}://${from.host}/ws`;
}

/**
 * Calls wake whenever the machine may have slept or the network came back.
 * Returns a function that stops it.
 */
export function onWake(wake: () => void): () => void {
  const visible = () => {
    if (document.visibilityState === 'visible') wake();
  };
  const shown = (event: PageTransitionEvent) => {
    if (event.persisted) wake(); // back from the page cache, with dead sockets
  };
  document.addEventListener('visibilitychange', visible);
  window.addEventListener('online', wake);
  window.addEventListener('pageshow', shown);
  return () => {
    document.removeEventListener('visibilitychange', visible);
    window.removeEventListener('online', wake);
    window.removeEventListener('pageshow', shown);
  };
}

/**
 * A browser storage, or memory where it is forbidden: a frame on somebody
 * else's site may not be given one, and chat works without surviving a reload.
 */
export function storage(kind: 'local' | 'session'): Keep {
  try {
    const real = kind === 'local' ? localStorage : sessionStorage;
    const probe = 'switchboard.probe';
    real.setItem(probe, '1');
    real.removeItem(probe);
    return real;
  } catch {
    const kept = new Map<string, string>();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
      removeItem: (key) => void kept.delete(key),
    };
  }
}
