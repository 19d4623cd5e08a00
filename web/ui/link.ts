import type { LinkState } from '../client/index.ts';
import { h, setText, show } from './dom.ts';

/** A loss shorter than this is nobody's business. */
const PATIENCE_MS = 1_500;

/** A notice that is visible while the connection is away, and says what is happening. */
export class LinkNotice {
  readonly element: HTMLElement;
  readonly #text = h('span');
  readonly #now: HTMLButtonElement;
  #state: LinkState = { at: 'idle' };
  #downSince = 0;
  #everOpen = false;
  #degraded = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(retry: () => void) {
    this.#now = h('button', { class: 'link', attr: { type: 'button' }, on: { click: retry } }, 'Try now');
    this.element = h('div', { class: 'notice warn', hidden: true, attr: { role: 'status' } }, this.#text, ' ', this.#now);
  }

  update(state: LinkState, degraded = false): void {
    this.#state = state;
    this.#degraded = degraded && state.at === 'open';
    const up = state.at === 'open' || state.at === 'idle' || state.at === 'stopped';
    if (state.at === 'open') this.#everOpen = true;
    if (up) this.#downSince = 0;
    else if (this.#downSince === 0) this.#downSince = Date.now();
    this.#draw();
  }

  #draw(): void {
    clearTimeout(this.#timer);
    const s = this.#state;
    const stopped = s.at === 'stopped' && s.why !== 'left';
    const late = this.#downSince > 0 && Date.now() - this.#downSince >= PATIENCE_MS;
    if (this.#downSince > 0) this.#timer = setTimeout(() => this.#draw(), 1_000);
    show(this.element, late || stopped || this.#degraded);
    show(this.#now, s.at === 'waiting');
    if (stopped) {
      const old = s.why === 'protocol';
      return setText(this.#text, old ? 'This page is out of date. Please reload it.' : 'You have been signed out. Please reload the page.');
    }
    if (this.#degraded) return setText(this.#text, 'The desk is limited for a moment: you see the last known state, messages are sent when it is back.');
    if (!late) return;
    const verb = this.#everOpen ? 'Connection lost.' : 'No connection yet.';
    if (s.at === 'waiting' && s.retryAt - Date.now() > 1_500) {
      setText(this.#text, `${verb} Next try in ${Math.ceil((s.retryAt - Date.now()) / 1000)} s.`);
    } else setText(this.#text, `${verb} Reconnecting…`);
  }
}
