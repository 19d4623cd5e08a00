import type { Operator } from '../client/index.ts';
import { h, Keyed, setText, show, type Row } from '../ui/dom.ts';
import { statusBadge } from '../ui/status.ts';
import { clock, hour, initials, tint } from '../ui/words.ts';
import type { Team } from './board.ts';

/** Rows of the table: more than fit on any screen, and few enough to redraw four times a second. */
const ROWS = 200;
const byName = new Intl.Collator();

/** The table of operators: who, what they are, since when, with how much work. */
export class People {
  readonly element: HTMLElement;
  readonly #now: () => number;
  readonly #picked = new Set<number>();
  readonly #pick: (picked: ReadonlySet<number>) => void;
  readonly #search = h('input', { class: 'input', attr: { type: 'search', placeholder: 'Find by name', 'aria-label': 'Find by name' }, on: { input: () => this.#draw() } });
  readonly #team = h('select', { attr: { 'aria-label': 'Team' }, on: { change: () => this.#draw() } }, h('option', { attr: { value: '' } }, 'All teams'));
  readonly #presence = h('select', { attr: { 'aria-label': 'Show' }, on: { change: () => this.#draw() } },
    h('option', { attr: { value: '' } }, 'Everybody'), h('option', { attr: { value: 'online' } }, 'Online only'));
  readonly #none = h('p', { class: 'none muted', hidden: true }, 'Nobody matches.');
  readonly #more = h('p', { class: 'none muted', hidden: true, attr: { role: 'status' } });
  readonly #all: HTMLInputElement;
  readonly #rows: Keyed<Operator>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #ticks = new Map<number, () => void>();
  #names = new Map<number, string>();
  #operators: Operator[] = [];

  constructor(now: () => number, pick: (picked: ReadonlySet<number>) => void) {
    this.#now = now;
    this.#pick = pick;
    this.#all = h('input', { attr: { type: 'checkbox', 'aria-label': 'Select everybody shown' }, on: { change: () => this.#pickAll() } });
    const body = h('tbody');
    const head = (text: string, kind = '') => h('th', { class: kind, attr: { scope: 'col' } }, text);
    this.element = h('section', { class: 'people card-box', attr: { 'aria-label': 'Operators' } },
      h('div', { class: 'filters' }, this.#search, this.#team, this.#presence),
      h('table', {},
        h('thead', {}, h('tr', {}, h('th', { class: 'pick', attr: { scope: 'col' } }, this.#all),
          head('Operator'), head('Teams', 'teams'), head('Status', 'status-column'), head('Since', 'num'), head('Chats', 'num'), head('Calls', 'num'))),
        body),
      this.#none, this.#more);
    this.#rows = new Keyed(body, (o) => String(o.id), (o) => this.#row(o));
    this.#timer = setInterval(() => {
      for (const tick of this.#ticks.values()) tick();
    }, 1_000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Unticks everybody. */
  clear(): void {
    this.#picked.clear();
    this.#changed();
  }

  teams(teams: Team[]): void {
    this.#names = new Map(teams.map((t) => [t.id, t.name]));
    this.#team.replaceChildren(h('option', { attr: { value: '' } }, 'All teams'),
      ...teams.map((t) => h('option', { attr: { value: String(t.id) } }, t.name)));
    this.#draw();
  }

  update(operators: Operator[]): void {
    this.#operators = operators.filter((o) => o.account === 0 && o.role !== 'visitor');
    const known = new Set(this.#operators.map((o) => o.id));
    for (const id of this.#picked) if (!known.has(id)) this.#picked.delete(id);
    this.#draw();
  }

  #shown(): Operator[] {
    const name = this.#search.value.trim().toLocaleLowerCase();
    const team = Number(this.#team.value);
    return this.#operators
      .filter((o) => name === '' || o.name.toLocaleLowerCase().includes(name))
      .filter((o) => team === 0 || (o.teams ?? []).includes(team))
      .filter((o) => this.#presence.value === '' || o.status !== 'Offline')
      .sort((a, b) => Number(a.status === 'Offline') - Number(b.status === 'Offline') || byName.compare(a.name, b.name) || a.id - b.id);
  }

  #draw(): void {
    const shown = this.#shown();
    const rows = shown.slice(0, ROWS);
    this.#rows.update(rows);
    setText(this.#more, `${shown.length - rows.length} more. Search by name or choose a team to see them.`);
    show(this.#more, shown.length > rows.length);
    const ids = new Set(rows.map((o) => o.id));
    for (const id of this.#ticks.keys()) if (!ids.has(id)) this.#ticks.delete(id);
    show(this.#none, shown.length === 0);
    const on = shown.filter((o) => this.#picked.has(o.id)).length;
    this.#all.checked = on > 0 && on === shown.length;
    this.#all.indeterminate = on > 0 && on < shown.length;
  }

  #pickAll(): void {
    for (const o of this.#shown()) {
      if (this.#all.checked) this.#picked.add(o.id);
      else this.#picked.delete(o.id);
    }
    this.#changed();
  }

  #changed(): void {
    this.#draw();
    this.#pick(this.#picked);
  }

  #row(first: Operator): Row<Operator> {
    const { id } = first;
    let now = first;
    const box = h('input', {
      attr: { type: 'checkbox' },
      on: {
        change: () => {
          if (box.checked) this.#picked.add(id);
          else this.#picked.delete(id);
          this.#changed();
        },
      },
    });
    const avatar = h('span', { class: 'avatar', attr: { 'aria-hidden': 'true' } });
    const name = h('span', { class: 'strong clip' });
    const note = h('span', { class: 'muted small clip' });
    const leaving = h('span', { class: 'tag', hidden: true }, 'Leaving');
    const status = statusBadge();
    const teams = h('td', { class: 'teams muted' });
    const since = h('td', { class: 'num' });
    const chats = h('td', { class: 'num' });
    const calls = h('td', { class: 'num' });
    const tick = () => setText(since, now.status === 'Offline' ? '' : clock(this.#now() - now.since));
    const node = h('tr', {}, h('td', { class: 'pick' }, box),
      h('td', {}, h('div', { class: 'line person' }, avatar, h('span', { class: 'stack' }, name, note))),
      teams, h('td', { class: 'state' }, status.element, leaving), since, chats, calls);
    return {
      node,
      update: (o) => {
        now = o;
        this.#ticks.set(id, tick);
        tick();
        setText(name, o.name);
        setText(avatar, initials(o.name));
        avatar.dataset['tint'] = tint(o.name);
        setText(note, detail(o));
        status.set(o.status);
        show(leaving, o.leaving === true);
        setText(teams, (o.teams ?? []).filter((t) => t !== 0).map((t) => this.#names.get(t) ?? `Team ${t}`).join(', '));
        setText(chats, String(o.chats + o.offers > 0 ? o.chats : '–') + (o.offers > 0 ? ` +${o.offers}` : ''));
        setText(calls, o.calls > 0 ? String(o.calls) : '–');
        box.checked = this.#picked.has(id);
        box.setAttribute('aria-label', `Select ${o.name}`);
        node.classList.toggle('offline', o.status === 'Offline');
        node.classList.toggle('picked', box.checked);
      },
    };
  }
}

/** What the status does not say: role, the choice behind it, and what comes next. */
function detail(o: Operator): string {
  const parts = [];
  if (o.role !== 'operator') parts.push(o.role === 'admin' ? 'Admin' : 'Supervisor');
  if (o.status === 'Offline') return parts.join(' · ');
  if (o.intent !== o.status) parts.push(`set to ${o.intent}`);
  if (o.source === 'supervisor') parts.push('by a supervisor');
  if (o.reason) parts.push(o.reason);
  if (o.until) parts.push(`until ${hour(o.until)}`);
  if (o.next) parts.push(`then ${o.next}`);
  return parts.join(' · ');
}
