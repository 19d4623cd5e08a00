import { Refused, type Client, type ClientState } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { statusBadge } from '../ui/status.ts';
import { clock, hour } from '../ui/words.ts';

const TIMES: [label: string, minutes: number][] = [['Until I change it', 0], ['For 5 minutes', 5], ['For 15 minutes', 15], ['For 30 minutes', 30], ['For an hour', 60]];

/** What I chose to be, for how long and what comes next, and what I am shown as. */
export class StatusPicker {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #select: HTMLSelectElement;
  readonly #time = h('select', { attr: { 'aria-label': 'For how long' } },
    ...TIMES.map(([label, minutes]) => h('option', { attr: { value: String(minutes) } }, label)));
  readonly #after = h('input', { attr: { type: 'checkbox' } });
  readonly #wait = h('label', { class: 'check small', hidden: true }, this.#after, 'After my last chat or call');
  readonly #badge = statusBadge();
  readonly #since = h('span', { class: 'since muted' });
  readonly #note = h('p', { class: 'small note', hidden: true, attr: { role: 'status' } });
  readonly #cause: Line;
  readonly #next: Line;
  readonly #timer: ReturnType<typeof setInterval>;
  #choices = '';
  #asking = false;
  #start = 0;

  constructor(client: Client, fail: (err: unknown) => void) {
    this.#client = client;
    const ask = (what: () => Promise<void>) => () => void this.#ask(what).catch(fail);
    this.#select = h('select', { attr: { 'aria-label': 'My status' }, on: { change: ask(() => this.#choose()) } });
    this.#cause = line(ask(() => client.returnStatus()));
    this.#next = line(ask(() => client.cancelPending()));
    this.element = h('div', { class: 'picker' }, this.#select, h('div', { class: 'how' }, this.#time, this.#wait),
      h('p', { class: 'shown small' }, 'Shown as ', this.#badge.element, ' ', this.#since),
      this.#cause.element, this.#next.element, this.#note);
    this.#timer = setInterval(() => this.#tick(), 1_000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  update(s: ClientState): void {
    const { self, statuses } = s;
    if (!self) return;
    const all = statuses.includes(self.intent) ? statuses : [...statuses, self.intent];
    if (all.join('\n') !== this.#choices) {
      this.#choices = all.join('\n');
      this.#select.replaceChildren(...all.map((name) => h('option', { attr: { value: name } }, name)));
    }
    if (!this.#asking) this.#select.value = self.intent;
    const off = s.link.at !== 'open' || s.leaving !== undefined;
    for (const control of [this.#select, this.#time, this.#after, this.#cause.button, this.#next.button]) control.disabled = off;
    const busy = self.chats + self.calls > 0;
    show(this.#wait, busy);
    if (!busy) this.#after.checked = false;
    this.#badge.set(self.status);
    const why = self.reason ? ` (${self.reason})` : '';
    const until = self.until ? ` until ${hour(self.until)}` : '';
    if (self.source === 'system') this.#cause.set(`${self.intent}${why}`, 'I am back');
    else if (self.source === 'supervisor') this.#cause.set(`${self.intent} by a supervisor${why}${until}`, '');
    else this.#cause.set(until && `${self.intent}${until}`, 'End it now');
    this.#next.set(self.next ? `After this: ${self.next}` : '', 'Cancel');
    this.#start = self.since;
    this.#tick();
  }

  /** The options are for one choice. */
  async #choose(): Promise<void> {
    const [afterWork, forMs] = [this.#after.checked, Number(this.#time.value) * 60_000];
    await this.#client.setStatus(this.#select.value, { afterWork, forMs });
    this.#after.checked = false;
    this.#time.value = '0';
  }

  async #ask(what: () => Promise<void>): Promise<void> {
    this.#asking = true;
    show(this.#note, false);
    try {
      await what();
    } catch (err) {
      if (!(err instanceof Refused) || err.code !== 'conflict') throw err;
      // Another tab or a supervisor was quicker; self has already told us what holds now.
      setText(this.#note, 'Your status was changed elsewhere a moment ago. Please choose again.');
      show(this.#note, true);
    } finally {
      this.#asking = false;
      this.update(this.#client.state.get());
    }
  }

  #tick(): void {
    if (this.#start > 0) setText(this.#since, clock(this.#client.now() - this.#start));
  }
}

type Line = ReturnType<typeof line>;

/** A sentence with one thing to do about it; hidden while it says nothing. */
function line(click: () => void): { element: HTMLElement; button: HTMLButtonElement; set(text: string, action: string): void } {
  const text = h('span', { class: 'grow' });
  const button = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click } });
  const element = h('p', { class: 'line small says', hidden: true, attr: { role: 'status' } }, text, button);
  return {
    element,
    button,
    set(says, action) {
      setText(text, says);
      setText(button, action);
      show(button, action !== '');
      show(element, says !== '');
    },
  };
}
