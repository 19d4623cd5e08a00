import type { Client, ClientState, OpenOffer } from '../client/index.ts';
import { Flash, h, Keyed, setText, type Row } from '../ui/dom.ts';
import { address, clock, initials, tint, visitorName } from '../ui/words.ts';

/** Why an offer went away, where the operator did not do it. */
const GONE: Record<string, string> = {
  timeout: 'The offer ran out and went to somebody else.',
  withdrawn: 'The offer was withdrawn.',
  visitor_left: 'The visitor has left.',
  connection_lost: 'The offer was taken back while the connection was away.',
  superseded: 'The offer was taken back.',
};

/** What a colleague asks, between their name and the visitor's. */
const INVITED: Record<string, string> = {
  hold: 'hands you the chat with',
  consult: 'asks for your advice on',
  join: 'asks you to join the chat with',
};

/** Chats that wait for my yes or no, each with its time running out. */
export class Offers {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #fail: (err: unknown) => void;
  readonly #gone = new Flash(h('p', { class: 'small muted gone', attr: { role: 'status' } }), 8_000);
  readonly #rows: Keyed<OpenOffer>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ticks = new Map<number, () => void>();
  #told: unknown;

  constructor(client: Client, fail: (err: unknown) => void) {
    this.#client = client;
    this.#fail = fail;
    const list = h('ul', { class: 'offers', attr: { 'aria-live': 'assertive', 'aria-label': 'Offered chats' } });
    this.element = h('div', {}, list, this.#gone.element);
    this.#rows = new Keyed(list, (o) => `${o.chat} ${o.token}`, (o) => this.#row(o));
    this.#timer = setInterval(() => {
      for (const tick of this.#ticks.values()) tick();
    }, 250);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  update(s: ClientState): void {
    this.#rows.update(s.offers.values());
    for (const chat of this.#ticks.keys()) if (!s.offers.has(chat)) this.#ticks.delete(chat);
    if (s.gone === this.#told) return;
    this.#told = s.gone;
    const text = s.gone ? GONE[s.gone.reason] : undefined;
    if (text) this.#gone.say(text);
  }

  #row(offer: OpenOffer): Row<OpenOffer> {
    const name = visitorName(offer.visitor);
    const title = offer.from ? `${offer.from.name} ${INVITED[offer.role ?? ''] ?? 'asks you'} ${name}` : `New chat from ${name}`;
    const bar = h('progress', { class: 'countdown', attr: { max: String(offer.ttl_ms), 'aria-hidden': 'true' } });
    const left = h('span', { class: 'left', attr: { 'aria-hidden': 'true' } });
    const act = (what: 'accept' | 'decline') => () => {
      yes.disabled = no.disabled = true;
      this.#client[what](offer.chat).catch((err: unknown) => {
        yes.disabled = no.disabled = false;
        this.#fail(err);
      });
    };
    const yes = h('button', { class: 'button primary slim', attr: { type: 'button', 'aria-label': `Accept the chat with ${name}` }, on: { click: act('accept') } }, 'Accept');
    const no = h('button', { class: 'button slim', attr: { type: 'button', 'aria-label': `Decline the chat with ${name}` }, on: { click: act('decline') } }, 'Decline');
    const tick = () => {
      const ms = Math.max(0, offer.until - this.#client.now());
      bar.value = ms;
      setText(left, `${Math.ceil(ms / 1000)} s`);
    };
    this.#ticks.set(offer.chat, tick);
    tick();
    const node = h('li', { class: 'offer' },
      h('div', { class: 'line' },
        h('div', { class: 'avatar', attr: { 'data-tint': tint(name), 'aria-hidden': 'true' } }, initials(name)),
        h('div', { class: 'grow' },
          h('p', { class: 'strong two-lines' }, title),
          offer.text !== undefined && h('p', { class: 'small two-lines', attr: { dir: 'auto' } }, `“${offer.text}”`),
          h('p', { class: 'muted small clip' }, `Waited ${clock(offer.waited_ms)}${offer.visitor?.page ? ` · ${address(offer.visitor.page)}` : ''}`)),
        left),
      bar,
      h('div', { class: 'pair' }, no, yes));
    return { node, update: () => {} };
  }
}
