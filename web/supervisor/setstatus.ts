import { Refused, sentence, type Client, type ClientState } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { count } from '../ui/words.ts';

const TIMES: [label: string, minutes: number][] = [['until they change it', 0], ['for 5 minutes, fixed', 5], ['for 15 minutes, fixed', 15], ['for an hour, fixed', 60]];

/** Sets the status of the people who are ticked; hidden while nobody is. */
export class StatusForm {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #status = h('select', { attr: { 'aria-label': 'Status to set' } });
  readonly #time = h('select', { attr: { 'aria-label': 'How long' } },
    ...TIMES.map(([label, minutes]) => h('option', { attr: { value: String(minutes) } }, label)));
  readonly #note = h('input', { class: 'input', attr: { maxlength: '100', placeholder: 'Why (they see it)', 'aria-label': 'Why' } });
  readonly #button = h('button', { class: 'button primary', attr: { type: 'submit' } });
  readonly #said = h('p', { class: 'small', attr: { role: 'status' } });
  #picked: number[] = [];
  #choices = '';
  #busy = false;

  constructor(client: Client) {
    this.#client = client;
    this.element = h('form', {
      class: 'setstatus card-box',
      hidden: true,
      attr: { 'aria-label': 'Set a status' },
      on: {
        submit: (event) => {
          event.preventDefault();
          void this.#submit();
        },
      },
    }, this.#status, this.#time, this.#note, this.#button, this.#said);
  }

  pick(picked: ReadonlySet<number>): void {
    this.#picked = [...picked];
    setText(this.#said, '');
    this.#draw();
  }

  update(s: ClientState): void {
    if (s.statuses.join('\n') !== this.#choices) {
      this.#choices = s.statuses.join('\n');
      this.#status.replaceChildren(...s.statuses.map((name) => h('option', { attr: { value: name } }, name)));
    }
    this.#button.disabled = this.#busy || s.link.at !== 'open';
  }

  #draw(): void {
    show(this.element, this.#picked.length > 0);
    setText(this.#button, `Set for ${count(this.#picked.length, 'operator')}`);
  }

  /** One after the other: each is compared with what the board shows of them. */
  async #submit(): Promise<void> {
    this.#busy = true;
    this.#button.disabled = true;
    const people = this.#client.state.get().operators;
    const failed: string[] = [];
    for (const id of this.#picked) {
      try {
        await this.#client.setStatusOf(id, this.#status.value, { forMs: Number(this.#time.value) * 60_000, reason: this.#note.value.trim() });
      } catch (err) {
        const why = err instanceof Refused && err.code === 'conflict' ? 'has just changed; look again' : sentence(err);
        failed.push(`${people.get(id)?.name ?? id}: ${why}`);
      }
    }
    setText(this.#said, failed.length > 0 ? failed.join(' · ') : 'Done.');
    this.#busy = false;
    this.update(this.#client.state.get());
  }
}
