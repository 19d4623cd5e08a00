import { Refused, type Client, type ClientState } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { statusBadge } from '../ui/status.ts';
import { clock } from '../ui/words.ts';

/** What I chose to be, and what I am shown as. */
export class StatusPicker {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #select: HTMLSelectElement;
  readonly #badge = statusBadge();
  readonly #since = h('span', { class: 'since muted' });
  readonly #note = h('p', { class: 'small note', hidden: true, attr: { role: 'status' } });
  readonly #timer: ReturnType<typeof setInterval>;
  #choices = '';
  #asking = false;
  #start = 0;

  constructor(client: Client, fail: (err: unknown) => void) {
    this.#client = client;
    this.#select = h('select', {
      attr: { 'aria-label': 'My status' },
      on: { change: () => void this.#choose().catch(fail) },
    });
    this.element = h('div', { class: 'picker' }, this.#select,
      h('p', { class: 'shown small' }, 'Shown as ', this.#badge.element, ' ', this.#since), this.#note);
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
    this.#select.disabled = s.link.at !== 'open' || s.leaving !== undefined;
    this.#badge.set(self.status);
    this.#start = self.since;
    this.#tick();
  }

  async #choose(): Promise<void> {
    const wanted = this.#select.value;
    this.#asking = true;
    show(this.#note, false);
    try {
      await this.#client.setStatus(wanted);
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
