import { call, sentence, type Client, type ClientState, type Operator, type Session } from '../client/index.ts';
import { Flash, h, setText, show } from '../ui/dom.ts';
import { leave } from '../ui/leave.ts';
import { LinkNotice } from '../ui/link.ts';
import { linkBadge } from '../ui/status.ts';
import { count } from '../ui/words.ts';
import { OfflinePanel } from './offline.ts';
import { People } from './people.ts';
import { Rooms } from './rooms.ts';
import { StatusForm } from './setstatus.ts';
import { SignOutForm } from './signout.ts';
import { WhyPanel } from './why.ts';

/** A team as GET /v1/teams answers. */
export interface Team {
  id: number;
  name: string;
}

/** What becomes of a chat whose operator was lost. */
const FATES: Record<string, string> = { return: 'waits again', hold: 'is held', forward: 'goes to another team', close: 'is closed' };

/** The whole page: numbers, people, and the form that signs people out. */
export class Board {
  readonly element: HTMLElement;
  readonly #session: Session;
  readonly #link: LinkNotice;
  readonly #live = linkBadge();
  readonly #name = h('span', { class: 'who' });
  readonly #tiles = { waiting: tile('Waiting'), available: tile('Available'), busy: tile('In chat or call'), online: tile('Online'), leaving: tile('Leaving') };
  readonly #leaving = h('div', { class: 'notice warn', hidden: true, attr: { role: 'alert' } });
  readonly #lost = new Flash(h('div', { class: 'notice warn', attr: { role: 'status' } }), 30_000);
  readonly #problem = new Flash(h('div', { class: 'notice bad', attr: { role: 'alert' } }), 6_000);
  readonly #people: People;
  readonly #form: SignOutForm;
  readonly #status: StatusForm;
  readonly #why: WhyPanel;
  readonly #left: OfflinePanel;
  readonly #rooms: Rooms;
  readonly #off: () => void;
  #teamsAsked = false;
  #lostAt = 0;

  constructor(client: Client, session: Session) {
    this.#session = session;
    this.#link = new LinkNotice(() => client.wake());
    this.#form = new SignOutForm(session, () => this.#people.clear());
    this.#status = new StatusForm(client);
    this.#why = new WhyPanel(session);
    this.#left = new OfflinePanel(session, (person) => client.state.get().operators.get(Number(person.slice(1)))?.name ?? person);
    this.#rooms = new Rooms(client, session);
    this.#people = new People(() => client.now(), (picked) => {
      this.#form.pick(picked);
      this.#status.pick(picked);
      this.#rooms.pick(picked);
      this.#why.pick(picked);
    });
    const out = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void leave(client).catch((err: unknown) => this.#problem.say(sentence(err))) } }, 'Sign out');
    this.element = h('div', { class: 'board' },
      h('header', { class: 'bar' },
        h('img', { attr: { src: '/assets/icon.svg', alt: '', width: '30', height: '30' } }),
        h('h1', { class: 'grow' }, 'Live board'), this.#live.element, this.#name, out),
      this.#leaving, this.#link.element, this.#lost.element, this.#problem.element,
      h('main', { class: 'columns' },
        h('div', { class: 'left-column' },
          h('dl', { class: 'tiles' }, ...Object.values(this.#tiles).map((t) => t.element)),
          this.#status.element, this.#people.element, this.#rooms.element, this.#why.element, this.#left.element),
        this.#form.element));
    this.#off = client.state.subscribe((s) => this.#draw(s));
  }

  stop(): void {
    this.#off();
    this.#people.stop();
    this.#why.stop();
    this.#form.stop();
  }

  #draw(s: ClientState): void {
    this.#link.update(s.link, s.degraded);
    this.#live.set(s.link.at);
    setText(this.#name, s.me?.name ?? '');
    show(this.#leaving, s.leaving !== undefined);
    if (s.leaving) setText(this.#leaving, `You will be signed out when your last chat or call ends${s.leaving.reason ? `: ${s.leaving.reason}` : ''}.`);
    const lost = s.losses[0];
    if (lost && lost.at !== this.#lostAt) {
      this.#lostAt = lost.at;
      this.#lost.say(`${lost.operator.name} has lost the connection with ${count(lost.chats.length, 'chat')}: ${lost.chats.map((c) => `${c.chat} ${FATES[c.then] ?? c.then}`).join(', ')}.`);
    }
    if (s.link.at === 'open' && !this.#teamsAsked) void this.#askTeams();
    const all = [...s.operators.values()];
    const many = (test: (o: Operator) => boolean) => String(all.filter(test).length);
    this.#tiles.waiting.set(s.queue === undefined ? '–' : String(s.queue), (s.queue ?? 0) > 0);
    this.#tiles.available.set(many((o) => o.status === 'Available'));
    this.#tiles.busy.set(many((o) => o.chats + o.calls > 0));
    this.#tiles.online.set(many((o) => o.status !== 'Offline'));
    this.#tiles.leaving.set(many((o) => o.leaving === true));
    this.#people.update(all);
    this.#form.update(s.operators, s.orders);
    this.#status.update(s);
    this.#why.update(s);
    this.#rooms.update(s);
  }

  async #askTeams(): Promise<void> {
    this.#teamsAsked = true;
    try {
      const { token } = await this.#session.token();
      const teams = (await call<Team[] | null>('/v1/teams', { token })) ?? [];
      this.#people.teams(teams);
      this.#why.teams(teams);
      this.#left.teams(teams);
      this.#form.teams(teams);
    } catch {
      // The board is useful without team names; the next change asks again, but not at once.
      setTimeout(() => (this.#teamsAsked = false), 5_000);
    }
  }
}

function tile(label: string): { element: HTMLElement; set(value: string, hot?: boolean): void } {
  const value = h('dd', {}, '–');
  const element = h('div', { class: 'tile' }, h('dt', {}, label), value);
  return {
    element,
    set(text, hot = false) {
      setText(value, text);
      element.classList.toggle('hot', hot);
    },
  };
}
