import { call, Refused, sentence, type Operator, type Order as Progress, type Session } from '../client/index.ts';
import { confirmed } from '../ui/dialog.ts';
import { h, Keyed, setText, show, type Row } from '../ui/dom.ts';
import { count } from '../ui/words.ts';
import type { Team } from './board.ts';

interface Outcome {
  id: number;
  name: string;
  previous: string;
  current: string;
  outcome: string;
}
interface Order {
  id: number;
  state: string;
  total: number;
  out: number;
  leaving: number;
  operators?: Outcome[] | null;
  dry_run?: boolean;
  todo?: number;
}

/** How often an order that is not finished is asked for. */
const POLL_MS = 2_000;
const WORDS: Record<string, string> = { out: 'Signed out', leaving: 'When work ends', offline: 'Was offline', cancelled: 'Stays' };
const MINUTE = 60_000;

/** Signs people out by name, team or network, and follows what becomes of it. */
export class SignOutForm {
  readonly element: HTMLElement;
  readonly #session: Session;
  readonly #done: () => void;
  readonly #chosen = h('p', { class: 'chosen' });
  readonly #teamBox = h('div', { class: 'checks' });
  readonly #teamField: HTMLElement;
  readonly #networks = h('textarea', { class: 'input mono', attr: { rows: '3', spellcheck: 'false', placeholder: '198.51.100.0/24\n2001:db8::17' }, on: { input: () => this.#ready() } });
  readonly #reason = h('input', { class: 'input', attr: { maxlength: '200', placeholder: 'Shown to the operators' } });
  readonly #mode = h('select', { class: 'input', attr: { 'aria-label': 'Whoever is busy' } },
    ...[['drain', 'When the work ends'], ['5', 'After 5 minutes at most'], ['30', 'After 30 minutes at most'], ['now', 'At once']]
      .map(([value, text]) => h('option', { attr: { value: value ?? '' } }, text ?? '')));
  readonly #fence = h('input', { class: 'input', attr: { type: 'number', min: '0', max: '10080', placeholder: '0', 'aria-label': 'Minutes without a new sign-in' } });
  readonly #standing = h('input', { attr: { type: 'checkbox' } });
  readonly #bar = h('progress', { class: 'bar-of-order', attr: { max: '1', value: '0', 'aria-label': 'Progress' } });
  readonly #stop = h('button', { class: 'button slim', hidden: true, attr: { type: 'button' }, on: { click: () => void this.#cancel() } }, 'Cancel the order');
  readonly #error = h('p', { class: 'notice bad box', hidden: true, attr: { role: 'alert' } });
  readonly #button = h('button', { class: 'button danger wide', attr: { type: 'submit' } }, 'Sign out…');
  readonly #result: HTMLElement;
  readonly #summary = h('p', { class: 'strong', attr: { role: 'status' } });
  readonly #rows: Keyed<Outcome>;
  #picked: ReadonlySet<number> = new Set();
  #operators: ReadonlyMap<number, Operator> = new Map();
  #order: Order | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** done is called when an order was taken, so that the same people are not meant again by accident. */
  constructor(session: Session, done: () => void) {
    this.#session = session;
    this.#done = done;
    this.#teamField = h('fieldset', { class: 'field', hidden: true }, h('legend', {}, 'Teams'), this.#teamBox);
    const form = h('form', {
      on: {
        submit: (event) => {
          event.preventDefault();
          void this.#submit();
        },
      },
    },
    h('div', { class: 'field' }, h('span', { class: 'label' }, 'Operators'), this.#chosen),
    this.#teamField,
    h('label', { class: 'field' }, h('span', {}, 'Networks ', h('small', {}, 'one per line')), this.#networks),
    h('label', { class: 'check' }, this.#standing, 'Whoever connects from there later, too'),
    h('label', { class: 'field' }, h('span', {}, 'Whoever is busy is signed out'), this.#mode),
    h('label', { class: 'field' }, h('span', {}, 'No new sign-in for ', h('small', {}, 'minutes')), this.#fence),
    h('label', { class: 'field' }, h('span', {}, 'Reason'), this.#reason),
    this.#error, this.#button,
    h('button', { class: 'button', attr: { type: 'button' }, on: { click: () => void this.#look() } }, 'Look who is meant'));
    const list = h('ul', { class: 'outcomes' });
    this.#rows = new Keyed(list, (o) => String(o.id), (o) => this.#row(o));
    this.#result = h('div', { class: 'result', hidden: true }, this.#summary, this.#bar, this.#stop, list);
    this.element = h('aside', { class: 'signout card-box', attr: { 'aria-label': 'Sign people out' } },
      h('h2', {}, 'Sign people out'),
      h('p', { class: 'muted small' }, 'Whoever is idle is signed out at once. Whoever is in a chat or call gets nothing new and is signed out when it ends.'),
      form, this.#result);
    this.pick(new Set());
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  pick(picked: ReadonlySet<number>): void {
    this.#picked = new Set(picked);
    const names = [...picked].map((id) => this.#operators.get(id)?.name ?? `Operator ${id}`);
    const more = names.length > 4 ? ` and ${names.length - 4} more` : '';
    setText(this.#chosen, names.length === 0 ? 'Nobody selected. Tick people in the table.' : names.slice(0, 4).join(', ') + more);
    this.#chosen.classList.toggle('muted', names.length === 0);
    this.#ready();
  }

  teams(teams: Team[]): void {
    this.#teamBox.replaceChildren(...teams.map((t) =>
      h('label', { class: 'check' }, h('input', { attr: { type: 'checkbox', value: String(t.id) }, on: { change: () => this.#ready() } }), t.name)));
    show(this.#teamField, teams.length > 0);
  }

  /** The board moved on: whoever left by the order shows so at once, before the next answer. */
  update(operators: ReadonlyMap<number, Operator>, orders: ReadonlyMap<number, Progress>): void {
    this.#operators = operators;
    const moved = this.#order && !this.#order.dry_run ? orders.get(this.#order.id) : undefined;
    if (this.#order && moved) this.#order = { ...this.#order, state: moved.state, total: moved.total, todo: moved.todo, out: moved.out, leaving: moved.leaving };
    this.#draw();
  }

  #wanted(): { agents: number[]; teams: number[]; networks: string[] } {
    const ticked = this.#teamBox.querySelectorAll<HTMLInputElement>('input:checked');
    return {
      agents: [...this.#picked],
      teams: [...ticked].map((box) => Number(box.value)),
      networks: this.#networks.value.split('\n').map((line) => line.trim()).filter(Boolean),
    };
  }

  /** How, as the API reads it. */
  #how(): Record<string, unknown> {
    const mode = this.#mode.value;
    return {
      mode: mode === 'now' ? 'now' : 'drain',
      ...(Number(mode) > 0 ? { deadline_ms: Number(mode) * MINUTE } : {}),
      ...(Number(this.#fence.value) > 0 ? { fence_ms: Math.round(Number(this.#fence.value) * MINUTE) } : {}),
      ...(this.#standing.checked ? { standing: true } : {}),
    };
  }

  /** Says who would be met, and does nothing. */
  async #look(): Promise<void> {
    const wanted = this.#wanted();
    show(this.#error, false);
    try {
      const { token } = await this.#session.token();
      const how = this.#how();
      delete how['standing'];
      clearTimeout(this.#timer);
      this.#order = await call<Order>('/v1/logouts', { token, body: { ...wanted, ...how, dry_run: true } });
      this.#draw();
    } catch (err) {
      setText(this.#error, explain(err, wanted.networks));
      show(this.#error, true);
    }
  }

  async #cancel(): Promise<void> {
    const order = this.#order;
    if (!order || !(await confirmed('Cancel this order?', 'Whoever is out stays out. Whoever is finishing their work stays.', 'Cancel the order', true))) return;
    try {
      const { token } = await this.#session.token();
      this.#follow(await call<Order>(`/v1/logouts/${order.id}`, { token, method: 'DELETE' }));
    } catch (err) {
      setText(this.#error, sentence(err));
      show(this.#error, true);
    }
  }

  #ready(): void {
    const { agents, teams, networks } = this.#wanted();
    this.#button.disabled = agents.length + teams.length + networks.length === 0;
  }

  async #submit(): Promise<void> {
    const wanted = this.#wanted();
    const parts = [
      wanted.agents.length > 0 ? count(wanted.agents.length, 'operator') : '',
      wanted.teams.length > 0 ? count(wanted.teams.length, 'team') : '',
      wanted.networks.length > 0 ? count(wanted.networks.length, 'network') : '',
    ].filter(Boolean);
    const text = `This signs out ${parts.join(', ')}. Chats and calls that are open may be finished first.`;
    if (!(await confirmed('Sign these people out?', text, 'Sign out', true))) return;
    show(this.#error, false);
    this.#button.disabled = true;
    try {
      const { token } = await this.#session.token();
      const body = { ...wanted, ...this.#how(), reason: this.#reason.value.trim() };
      let order: Order;
      try {
        order = await call<Order>('/v1/logouts', { token, body });
      } catch (err) {
        // Too many, or oneself: the server wants to hear it twice.
        if (!(err instanceof Refused) || err.code !== 'conflict' || err.field !== 'confirm') throw err;
        if (!(await confirmed('Really?', sentence(err).replace(/; confirm\.$/, '.'), 'Sign them all out', true))) return;
        order = await call<Order>('/v1/logouts', { token, body: { ...body, confirm: true } });
      }
      this.#follow(order);
      this.#networks.value = this.#reason.value = '';
      for (const box of this.#teamBox.querySelectorAll('input')) box.checked = false;
      this.#done();
    } catch (err) {
      setText(this.#error, explain(err, wanted.networks));
      show(this.#error, true);
    } finally {
      this.#ready();
    }
  }

  #follow(order: Order): void {
    this.#order = order;
    this.#draw();
    clearTimeout(this.#timer);
    if (order.state === 'cancelled' || (order.state === 'completed' && order.leaving === 0)) return;
    this.#timer = setTimeout(() => void this.#poll(order), POLL_MS);
  }

  async #poll(last: Order): Promise<void> {
    try {
      const { token } = await this.#session.token();
      this.#follow(await call<Order>(`/v1/logouts/${last.id}`, { token }));
    } catch (err) {
      if (err instanceof Refused && err.code === 'unavailable') this.#follow(last);
    }
  }

  #draw(): void {
    const order = this.#order;
    show(this.#result, order !== undefined);
    if (!order) return;
    const rows = (order.operators ?? []).map((o) => this.#live(o));
    const leaving = Math.max(0, order.leaving - (order.operators ?? []).filter((o, i) => o.outcome === 'leaving' && rows[i]?.outcome === 'out').length);
    const out = order.out + (order.leaving - leaving);
    const open = order.state !== 'cancelled' && !order.dry_run;
    this.#bar.max = Math.max(order.total, 1);
    this.#bar.value = order.total - leaving - (order.todo ?? 0);
    show(this.#bar, open && order.total > 0);
    show(this.#stop, open && (order.state !== 'completed' || leaving > 0));
    if (order.dry_run) {
      setText(this.#summary, order.total === 0 ? 'Nobody is meant.' : `${count(order.total, 'person', 'people')} would be meant. Nothing was done.`);
      return this.#rows.update(order.operators ?? []);
    }
    setText(this.#summary, order.total === 0 && order.state === 'completed'
      ? 'Nobody matched.'
      : order.state === 'cancelled' ? 'Cancelled.' : [`${out} signed out`, leaving > 0 ? `${leaving} finishing their work` : '', order.state === 'completed' || order.state === 'standing' ? '' : 'working…', order.state === 'standing' ? 'and whoever connects from there' : ''].filter(Boolean).join(', '));
    this.#rows.update(rows);
  }

  /** Brings one outcome up to date with what presence has shown since. */
  #live(o: Outcome): Outcome {
    const seen = this.#operators.get(o.id);
    if (o.outcome !== 'leaving' || !seen || seen.status !== 'Offline' || seen.leaving) return o;
    return { ...o, outcome: 'out', current: 'Offline' };
  }

  #row(first: Outcome): Row<Outcome> {
    const change = h('span', { class: 'muted small' });
    const tag = h('span', { class: 'tag' });
    return {
      node: h('li', { class: 'line' }, h('span', { class: 'stack grow' }, h('span', { class: 'strong clip' }, first.name), change), tag),
      update: (o) => {
        setText(change, o.previous === o.current ? o.current : `${o.previous} → ${o.current}`);
        setText(tag, WORDS[o.outcome] ?? o.outcome);
        tag.dataset['outcome'] = o.outcome;
      },
    };
  }
}

/** networks[1]: the second line. */
function explain(err: unknown, networks: string[]): string {
  const at = err instanceof Refused ? /^networks\[(\d+)\]$/.exec(err.field) : null;
  const line = at ? networks[Number(at[1])] : undefined;
  return line === undefined ? sentence(err) : `“${line}” is not a network or an address. ${sentence(err)}`;
}
