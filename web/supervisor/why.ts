import { call, sentence, type ClientState, type Session } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { clock } from '../ui/words.ts';
import type { Team } from './board.ts';

/** A waiting chat as GET /v1/queue answers. */
interface Waiting {
  chat: number;
  place: number;
  waited_ms: number;
  priority?: number;
  visitor?: { name?: string };
}
/** GET /v1/chats/{id}/why. */
interface Explained {
  chat: number;
  because?: string;
  candidates: { operator: number; name: string; rule: string; because?: string; missing?: string[] }[];
  next?: string;
}
/** GET /v1/operators/{id}/why. */
interface Routability {
  name: string;
  routable: boolean;
  facts: { because: string; detail?: string }[];
  units: number;
  limit: number;
}

/** How often an open panel asks at most. */
const EVERY_MS = 2_000;
/** Pages of operators that one question reads at most. */
const PAGES = 5;

/** Says why a chat waits and why an operator gets none; asks only while it is open. */
export class WhyPanel {
  readonly element: HTMLDetailsElement;
  readonly #session: Session;
  readonly #team = h('select', { attr: { 'aria-label': 'Team whose queue is shown' }, on: { change: () => void this.#ask() } }, h('option', { attr: { value: '0' } }, 'Everyone'));
  readonly #list = h('ul', { class: 'plain' });
  readonly #chat = h('div', { class: 'answer', attr: { role: 'status' } });
  readonly #person = h('div', { class: 'answer', attr: { role: 'status' } });
  readonly #said = h('p', { class: 'small muted', attr: { role: 'status' } });
  readonly #timer: ReturnType<typeof setInterval>;
  #shown = 0; // the chat that is explained
  #picked = 0; // the one operator who is ticked
  #state = ''; // what was drawn last of the queue's length and the operator
  #busy = false;

  constructor(session: Session) {
    this.#session = session;
    this.element = h('details', { class: 'why card-box', on: { toggle: () => void this.#ask() } },
      h('summary', {}, 'Why?'),
      h('p', { class: 'small muted' }, 'Choose a waiting chat, or tick one operator above.'),
      h('div', { class: 'line' }, h('label', {}, 'Waiting in ', this.#team)),
      this.#list, this.#said, this.#chat, this.#person);
    this.#timer = setInterval(() => void this.#ask(), EVERY_MS * 5);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  teams(teams: Team[]): void {
    const was = this.#team.value;
    this.#team.replaceChildren(h('option', { attr: { value: '0' } }, 'Everyone'), ...teams.map((t) => h('option', { attr: { value: String(t.id) } }, t.name)));
    this.#team.value = was;
  }

  pick(picked: ReadonlySet<number>): void {
    this.#picked = picked.size === 1 ? [...picked][0] ?? 0 : 0;
    void this.#ask();
  }

  update(s: ClientState): void {
    const one = s.operators.get(this.#picked);
    const now = `${s.queue} ${one?.version} ${one?.status} ${one?.chats}`;
    if (now === this.#state) return;
    this.#state = now;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    if (!this.element.open || this.#busy) return;
    this.#busy = true;
    try {
      const { token } = await this.#session.token();
      const waiting = await call<Waiting[]>(`/v1/queue?team=${encodeURIComponent(this.#team.value)}&n=20`, { token });
      this.#drawList(waiting);
      if (this.#shown !== 0) await this.#explain(token);
      await this.#about(token);
      setText(this.#said, waiting.length === 0 ? 'Nobody waits here.' : '');
    } catch (err) {
      setText(this.#said, sentence(err));
    }
    setTimeout(() => (this.#busy = false), EVERY_MS);
  }

  #drawList(waiting: Waiting[]): void {
    this.#list.replaceChildren(...waiting.map((w) => h('li', {}, h('button', {
      class: `link ${w.chat === this.#shown ? 'strong' : ''}`,
      attr: { type: 'button' },
      on: {
        click: () => {
          this.#shown = w.chat;
          this.#busy = false;
          void this.#ask();
        },
      },
    }, `${w.place}. ${w.visitor?.name || 'Visitor'} (chat ${w.chat}), ${clock(w.waited_ms)}`))));
  }

  async #explain(token: string): Promise<void> {
    const path = `/v1/chats/${this.#shown}/why?n=200`;
    let page: Explained;
    try {
      page = await call<Explained>(path, { token });
    } catch (err) {
      this.#shown = 0;
      this.#chat.replaceChildren(h('p', { class: 'small' }, sentence(err)));
      return;
    }
    const all = [...page.candidates];
    let next = page.next;
    for (let i = 1; next && i < PAGES; i++) {
      const more = await call<Explained>(`${path}&after=${encodeURIComponent(next)}`, { token });
      all.push(...more.candidates);
      next = more.next;
    }
    const rows = all.slice(0, 100).map((c) => h('li', { class: 'small' }, h('span', { class: 'strong' }, c.name), ' ',
      c.rule === '' ? 'could take it' : `${c.because ?? c.rule}${c.missing ? `: ${c.missing.join(', ')}` : ''}`));
    this.#chat.replaceChildren(
      h('h3', {}, `Chat ${page.chat}`),
      h('p', { class: 'small' }, page.because ?? (all.length > 0 ? 'Of each operator of its team:' : 'Its team has nobody.')),
      h('ul', { class: 'plain' }, ...rows),
      ...(all.length > 100 || next ? [h('p', { class: 'small muted' }, 'There are more than are shown.')] : []));
  }

  async #about(token: string): Promise<void> {
    show(this.#person, this.#picked !== 0);
    if (this.#picked === 0) return;
    const r = await call<Routability>(`/v1/operators/${this.#picked}/why`, { token });
    const facts = r.facts.map((f) => h('li', { class: 'small' }, f.because + (f.detail ? `: ${f.detail}` : '')));
    this.#person.replaceChildren(
      h('h3', {}, r.name),
      h('p', { class: 'small' }, r.routable ? `Gets chats now (${r.units} of ${r.limit} units held).` : 'Gets no chat now:'),
      h('ul', { class: 'plain' }, ...facts));
  }
}
