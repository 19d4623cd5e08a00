import { call, noteView, type Chat, type Client, type ClientState, type Colleague, type Note, type Session } from '../client/index.ts';
import { h, Keyed, setText, show, type Row } from './dom.ts';
import { hour } from './words.ts';

const ROLES: Record<string, string> = { join: 'has joined', consult: 'is consulted', hold: 'to take it over' };
const ASKED: Record<string, string> = { join: 'to join', consult: 'for advice', hold: 'to take over' };
const OWN: Record<string, string> = {
  monitor: 'You monitor this chat. Neither the visitor nor its operator knows.',
  consult: 'You are asked for advice. The visitor does not see you; write notes to your colleagues.',
  join: 'You have joined this chat. The visitor sees you.',
};

/** Is this page's person the one who holds the chat? */
export function holds(s: ClientState, { info }: Chat): boolean {
  return info.state === 'active' && info.role === undefined && `o${info.operator?.id}` === s.me?.person;
}
export function supervises(s: ClientState): boolean {
  return s.me?.role === 'supervisor' || s.me?.role === 'admin';
}

interface Person {
  one: Colleague;
  asked: boolean;
}

/** Who else is in the chat, or asked to come, and what they say to each other. */
export class Parts {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #session: Session;
  readonly #fail: (err: unknown) => void;
  readonly #own = h('p', { class: 'small grow' });
  readonly #join: HTMLButtonElement;
  readonly #take: HTMLButtonElement;
  readonly #ownLine: HTMLElement;
  readonly #people: Keyed<Person>;
  readonly #notes: Keyed<Note>;
  readonly #box: HTMLElement;
  readonly #input = h('input', { class: 'input', attr: { maxlength: '2000', 'aria-label': 'Note to colleagues', placeholder: 'Note to colleagues; the visitor never sees it' } });
  #chat: Chat | undefined;
  #state: ClientState | undefined;
  #read = ''; // the chat and connection whose notes were read

  constructor(client: Client, session: Session, fail: (err: unknown) => void) {
    this.#client = client;
    this.#session = session;
    this.#fail = fail;
    const button = (text: string, role: 'join' | 'hold') =>
      h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => this.#do(client.join(this.#id, role)) } }, text);
    this.#join = button('Join', 'join');
    this.#take = button('Take over', 'hold');
    this.#ownLine = h('div', { class: 'line own-part' }, this.#own, this.#join, this.#take);
    const people = h('ul', { class: 'chat-people', attr: { 'aria-label': 'Colleagues in this chat' } });
    const notes = h('ol', { class: 'notes', attr: { 'aria-label': 'Notes', 'aria-live': 'polite' } });
    this.#box = h('section', { class: 'note-box', attr: { 'aria-label': 'Notes to colleagues' } }, notes,
      h('form', { class: 'line', on: { submit: (e) => { e.preventDefault(); this.#note(); } } }, this.#input,
        h('button', { class: 'button slim', attr: { type: 'submit' } }, 'Add note')));
    this.element = h('div', { class: 'parts', hidden: true }, this.#ownLine, people, this.#box);
    this.#people = new Keyed(people, (p) => `${p.one.id} ${p.asked}`, (p) => this.#person(p));
    this.#notes = new Keyed(notes, (n) => `${n.from} ${n.cmid}`, (n) => this.#row(n));
  }

  get #id(): number {
    return this.#chat?.info.chat ?? 0;
  }

  update(s: ClientState, chat: Chat): void {
    this.#state = s;
    this.#chat = chat;
    const { info } = chat;
    const role = info.role ?? '';
    show(this.#ownLine, OWN[role] !== undefined);
    setText(this.#own, OWN[role] ?? '');
    show(this.#join, supervises(s) && role !== 'join');
    show(this.#take, supervises(s));
    this.#people.update([
      ...(info.with ?? []).filter((one) => `o${one.id}` !== s.me?.person).map((one) => ({ one, asked: false })),
      ...(info.invites ?? []).map((one) => ({ one, asked: true })),
    ]);
    this.#notes.update(chat.notes);
    const several = info.state === 'active' && (role !== '' || (info.with ?? []).length > 0);
    show(this.#box, several || chat.notes.length > 0);
    show(this.element, OWN[role] !== undefined || several || chat.notes.length > 0 || (info.invites ?? []).length > 0);
    // Notes come live from here on; what was said before is read.
    const key = `${info.chat} ${s.link.at} ${role}`;
    if (s.link.at === 'open' && info.state === 'active' && key !== this.#read) {
      this.#read = key;
      this.#session.token()
        .then(({ token }) => call<unknown[] | null>(`/v1/chats/${info.chat}/notes?n=200`, { token }))
        .then((list) => this.#client.notes(info.chat, (list ?? []).map((n, i) => noteView(n, `notes[${i}]`))))
        .catch(() => (this.#read = '')); // the next change asks again
    }
  }

  #do(done: Promise<unknown>): void {
    done.catch(this.#fail);
  }

  #note(): void {
    const text = this.#input.value.trim();
    if (text === '') return;
    const chat = this.#id;
    this.#input.value = '';
    this.#client.note(chat, text).catch((err: unknown) => {
      if (this.#id === chat && this.#input.value === '') this.#input.value = text;
      this.#fail(err);
    });
  }

  #person(made: Person): Row<Person> {
    const { id } = made.one;
    const text = h('span', { class: 'grow' });
    const end = h('button', { class: 'link', attr: { type: 'button' }, on: { click: () => this.#do(this.#client.part(this.#id, id)) } });
    const give = h('button', { class: 'link', attr: { type: 'button' }, on: { click: () => this.#do(this.#client.transfer(this.#id, { operator: id })) } }, 'Hand over to them');
    return {
      node: h('li', { class: 'line small' }, text, give, end),
      update: ({ one, asked }) => {
        setText(text, asked ? `${one.name} is asked ${ASKED[one.role ?? ''] ?? ''}` : `${one.name} ${ROLES[one.role ?? ''] ?? 'is here'}`);
        const may = this.#state !== undefined && this.#chat !== undefined && (holds(this.#state, this.#chat) || supervises(this.#state));
        show(end, may);
        setText(end, asked ? 'Take back' : 'End their part');
        show(give, may && !asked);
      },
    };
  }

  #row(note: Note): Row<Note> {
    const author = h('span', { class: 'strong' }, note.from === this.#state?.me?.person ? 'You' : (note.name ?? 'A colleague'));
    return { node: h('li', { class: 'small' }, author, ` ${hour(note.at)} `, h('span', { attr: { dir: 'auto' } }, note.text)), update: () => {} };
  }
}
