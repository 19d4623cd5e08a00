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
  document.addEventListener('resume', wake); // the browser had frozen the page
  window.addEventListener('online', wake);
  window.addEventListener('pageshow', shown);
  return () => {
    document.removeEventListener('visibilitychange', visible);
    document.removeEventListener('resume', wake);
    window.removeEventListener('online', wake);
    window.removeEventListener('pageshow', shown);
  };
}

/** What a person does to a page that they use. */
const USE = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart', 'focus'] as const;

/**
 * Watches whether the page is used: told is called with true when it was not for
 * a while, and with false at the first use after that. The while is asked for
 * again each time; 0 is never. Returns a function that stops it.
 */
export function onIdle(whileMs: () => number, told: (idle: boolean) => void): () => void {
  let last = Date.now();
  let idle = false;
  const used = () => {
    last = Date.now();
    if (idle) told((idle = false));
  };
  // Browsers slow the timers of hidden pages to one a minute, which is fine here.
  const timer = setInterval(() => {
    const after = whileMs();
    if (!idle && after > 0 && Date.now() - last >= after) told((idle = true));
  }, 1_000);
  for (const name of USE) window.addEventListener(name, used, { passive: true, capture: true });
  return () => {
    clearInterval(timer);
    for (const name of USE) window.removeEventListener(name, used, { capture: true });
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
