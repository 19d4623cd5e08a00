import { type Client, type ClientState } from '../client/index.ts';
import { h, icon, setText } from '../ui/dom.ts';
import { clock } from '../ui/words.ts';

/** Telephony renews a call's lease; here the page does, well within it. */
const RENEW_MS = 10_000;

/** Starts and ends a call by hand, as telephony would, to try out what a call does. */
export class TestCall {
  readonly element: HTMLButtonElement;
  readonly #client: Client;
  readonly #text = h('span');
  #call = '';
  #since = 0;
  #busy = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #renewed = 0;

  constructor(client: Client, fail: (err: unknown) => void) {
    this.#client = client;
    this.element = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void this.#toggle().catch(fail) } }, icon('phone'), this.#text);
    setText(this.#text, 'Start test call');
  }

  update(s: ClientState): void {
    this.element.disabled = this.#busy || s.link.at !== 'open' || (this.#call === '' && s.leaving !== undefined);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #toggle(): Promise<void> {
    this.#busy = true;
    try {
      if (this.#call === '') {
        const call = `test-${Date.now().toString(36)}`;
        await this.#client.call('start', call);
        this.#call = call;
        this.#since = this.#renewed = Date.now();
        this.#timer = setInterval(() => this.#tick(), 1_000);
      } else {
        await this.#client.call('end', this.#call);
        this.#call = '';
        clearInterval(this.#timer);
      }
    } finally {
      this.#busy = false;
      this.update(this.#client.state.get());
      this.#draw();
    }
  }

  #tick(): void {
    this.#draw();
    if (Date.now() - this.#renewed < RENEW_MS) return;
    this.#renewed = Date.now();
    this.#client.call('renew', this.#call).catch((err: { code?: string }) => {
      if (err.code === 'disconnected' || err.code === 'unavailable') return; // asked again soon
      this.#call = ''; // the lease ran out: the call is over
      clearInterval(this.#timer);
      this.#draw();
    });
  }

  #draw(): void {
    const on = this.#call !== '';
    this.element.classList.toggle('danger', on);
    setText(this.#text, on ? `End test call ${clock(Date.now() - this.#since)}` : 'Start test call');
  }
}
