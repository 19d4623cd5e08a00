import { call, sentence, type Session } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { moment } from '../ui/words.ts';
import type { Team } from './board.ts';

/** A message that was left while nobody answered, as GET /v1/offline answers. */
interface Left {
  id: number;
  at: number;
  team: number;
  name?: string;
  email?: string;
  page?: string;
  text: string;
  done?: { by: string; at: number };
}

const PAGE = 50;

/** Messages that visitors left, newest first, with a mark for those dealt with; asks only while it is open. */
export class OfflinePanel {
  readonly element: HTMLDetailsElement;
  readonly #session: Session;
  readonly #nameOf: (person: string) => string;
  readonly #list = h('ul', { class: 'plain left-messages' });
  readonly #said = h('p', { class: 'small muted', attr: { role: 'status' } });
  readonly #more = h('button', { class: 'button slim', hidden: true, attr: { type: 'button' }, on: { click: () => void this.#ask(this.#last) } }, 'Show older ones');
  #teams = new Map<number, string>();
  #last = 0; // the oldest id that is shown
  #busy = false;

  constructor(session: Session, nameOf: (person: string) => string) {
    this.#session = session;
    this.#nameOf = nameOf;
    const again = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void this.#ask(0) } }, 'Refresh');
    this.element = h('details', { class: 'why card-box', on: { toggle: () => void (this.element.open && this.#ask(0)) } },
      h('summary', {}, 'Messages left while nobody answered'), again, this.#said, this.#list, this.#more);
  }

  teams(teams: Team[]): void {
    this.#teams = new Map(teams.map((t) => [t.id, t.name]));
  }

  /** Reads a page of messages before an id; 0: the newest, and the list anew. */
  async #ask(before: number): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { token } = await this.#session.token();
      const page = (await call<Left[] | null>(`/v1/offline?n=${PAGE}${before > 0 ? `&before=${before}` : ''}`, { token })) ?? [];
      if (before === 0) this.#list.replaceChildren();
      this.#list.append(...page.map((m) => this.#row(m)));
      this.#last = page.at(-1)?.id ?? this.#last;
      show(this.#more, page.length === PAGE);
      setText(this.#said, this.#list.childElementCount === 0 ? 'There is none.' : '');
    } catch (err) {
      setText(this.#said, sentence(err));
    }
    this.#busy = false;
  }

  #row(m: Left): HTMLElement {
    const state = h('p', { class: 'small muted' });
    const button = h('button', { class: 'button slim', attr: { type: 'button', 'aria-label': `Mark the message of ${m.name || 'a visitor'} as done` } }, 'Mark as done');
    const row = h('li', { class: 'left-message' },
      h('p', { class: 'strong' }, m.name || 'A visitor', m.email ? ` · ${m.email}` : ''),
      h('p', { class: 'small muted' }, [moment(m.at), m.team === 0 ? '' : this.#teams.get(m.team) ?? `Team ${m.team}`, m.page ?? ''].filter(Boolean).join(' · ')),
      h('p', { class: 'text', attr: { dir: 'auto' } }, m.text),
      state, button);
    const done = (by: string, at: number): void => {
      row.classList.add('done');
      setText(state, `Done by ${by} on ${moment(at)}`);
      show(button, false);
    };
    if (m.done) done(this.#nameOf(m.done.by), m.done.at);
    button.addEventListener('click', () => void this.#mark(m.id, button, state, () => done('you', Date.now())));
    return row;
  }

  async #mark(id: number, button: HTMLButtonElement, state: HTMLElement, done: () => void): Promise<void> {
    button.disabled = true;
    try {
      const { token } = await this.#session.token();
      await call(`/v1/offline/${id}/done`, { method: 'POST', token });
      done();
    } catch (err) {
      button.disabled = false;
      setText(state, sentence(err));
    }
  }
}
