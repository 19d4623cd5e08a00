/** The chat as a visitor sees it; runs in a frame of the customer's page. */
import { call, Client, Guest, onWake, sentence, socketURL, storage, VisitorSession, type Chat, type ClientState } from '../client/index.ts';
import { Conversation } from '../ui/conversation.ts';
import { confirmed } from '../ui/dialog.ts';
import { h, icon, setText, show } from '../ui/dom.ts';
import { LinkNotice } from '../ui/link.ts';
import { initials, moment, tint } from '../ui/words.ts';
import { Host } from './host.ts';
import { StartForm, type Asked, type Door, type Team } from './start.ts';

const query = new URLSearchParams(location.search);
const org = Number(query.get('org'));
const team = Number(query.get('team'));
const app = document.getElementById('app') as HTMLElement;

interface Organization extends Door {
  org: number;
  name: string;
  teams: Team[] | null;
}

/** How often a form that is looked at asks whether somebody answers now. */
const DOORS_MS = 30_000;

const ask = (): Promise<Organization> => call<Organization>(`/v1/widget?org=${encodeURIComponent(org)}`);

class Widget {
  readonly #session = new VisitorSession(org, storage('local'));
  readonly #client: Client;
  readonly #guest: Guest;
  readonly #host: Host;
  readonly #orgName: string;
  readonly #form: StartForm;
  readonly #talk: Conversation;
  readonly #link: LinkNotice;
  readonly #title = h('p', { class: 'title' });
  readonly #subtitle = h('p', { class: 'subtitle', attr: { role: 'status' } });
  readonly #avatar = h('div', { class: 'avatar', attr: { 'aria-hidden': 'true' } });
  readonly #end: HTMLButtonElement;
  readonly #over: HTMLElement;
  readonly #waiting = h('p', { class: 'waiting', hidden: true, attr: { role: 'status' } });
  readonly #still = h('div', { class: 'over', hidden: true, attr: { role: 'alert' } }, h('p', {}, 'Are you still there?'),
    h('button', { class: 'button primary', attr: { type: 'button' }, on: { click: () => void this.#here() } }, 'Yes, I am here'));
  readonly #preview = h('p', { class: 'told muted', hidden: true }, 'What you type here can be seen before you send it.');
  #chat = 0; // the one shown; 0: the form
  #starting = false;
  #read = 0; // messages of the other side that have been seen

  constructor(about: Organization) {
    this.#orgName = about.name;
    this.#client = new Client({
      url: socketURL(),
      token: (fresh) => this.#session.token(fresh),
      keep: storage('session'),
      keepKey: `switchboard.outbox.${org}`,
      fault: (err) => console.warn('switchboard:', err.message),
    });
    this.#guest = new Guest({ url: socketURL(), org, team, changed: () => this.#draw(this.#client.state.get()) });
    this.#host = new Host(query.get('host') ?? '', () => {
      this.#draw(this.#client.state.get());
      void this.#doors();
    });
    this.#form = new StartForm(team, about.teams ?? [], about, { start: (asked) => this.#start(asked), leave: (asked) => this.#leave(asked) });
    setInterval(() => void this.#doors(), DOORS_MS);
    this.#talk = new Conversation({
      send: (text) => this.#client.send(this.#chat, text),
      typing: (on, text) => this.#client.typing(this.#chat, on, false, text),
      retry: (cmid) => this.#client.retry(this.#chat, cmid),
      discard: (cmid) => this.#client.discard(this.#chat, cmid),
    });
    this.#link = new LinkNotice(() => this.#client.wake());
    this.#end = h('button', { class: 'end', hidden: true, attr: { type: 'button' }, on: { click: () => void this.#close() } }, 'End chat');
    const again = h('button', { class: 'button primary', attr: { type: 'button' }, on: { click: () => this.#again() } }, 'Start a new chat');
    this.#over = h('div', { class: 'over', hidden: true }, h('p', { class: 'muted' }, 'This chat has ended. Thank you!'), again);
    const hide = h('button', {
      class: 'round', hidden: !this.#host.framed, attr: { type: 'button', 'aria-label': 'Hide the chat' },
      on: { click: () => this.#host.minimise() },
    }, icon('down'));
    app.replaceChildren(
      h('header', { class: 'top' }, this.#avatar, h('div', { class: 'names' }, this.#title, this.#subtitle), this.#end, hide),
      this.#link.element, this.#waiting, this.#still, this.#form.element, this.#talk.element, this.#preview, this.#over,
    );
    this.#client.state.subscribe((s) => this.#draw(s));
    onWake(() => {
      this.#client.wake();
      this.#guest.wake();
    });
    addEventListener('keydown', (e) => {
      if (e.key === 'Escape' && !document.querySelector('dialog')) this.#host.minimise();
    });
    // Somebody who was here before may have a chat open; a newcomer needs no connection yet.
    if (this.#session.current) this.#client.start();
  }

  async #start(asked: Asked): Promise<void> {
    this.#starting = true;
    try {
      // A name given now must be in the token that says hello.
      this.#client.stop();
      await this.#session.begin({
        ...(asked.name ? { name: asked.name } : {}),
        ...(asked.email ? { email: asked.email } : {}),
      });
      this.#client.start();
      this.#show(await this.#client.startChat({ team: asked.team, text: asked.text, page: this.#host.page }));
    } finally {
      this.#starting = false;
    }
    this.#form.reset();
    this.#talk.focus();
  }

  async #leave(asked: Asked): Promise<void> {
    const { token } = await this.#session.begin({
      ...(asked.name ? { name: asked.name } : {}),
      ...(asked.email ? { email: asked.email } : {}),
    });
    // The same words again within a minute are the same message, not another.
    const cmid = `${asked.team}.${Math.floor(Date.now() / 60_000)}.${hash(asked.text)}`;
    await call('/v1/offline', { token, body: { ...asked, cmid, page: this.#host.page } });
  }

  /** Asks whether somebody answers now, while a visitor looks at the form. */
  async #doors(): Promise<void> {
    if (this.#chat !== 0 || !this.#host.shown || document.hidden) return;
    try {
      const about = await ask();
      this.#form.doors(about.teams ?? [], about);
    } catch {
      // What is shown stays; a start finds out.
    }
  }

  #show(chat: number): void {
    this.#chat = chat;
    this.#read = 0;
    this.#draw(this.#client.state.get());
  }

  #again(): void {
    this.#client.dismiss(this.#chat);
    this.#show(0);
    this.#client.stop();
    void this.#doors();
    this.#form.element.querySelector('input')?.focus();
  }

  async #here(): Promise<void> {
    try {
      await this.#client.here(this.#chat);
    } catch (err) {
      setText(this.#subtitle, sentence(err));
    }
  }

  async #close(): Promise<void> {
    if (!(await confirmed('End this chat?', 'You can start a new one at any time.', 'End chat'))) return;
    try {
      await this.#client.closeChat(this.#chat);
    } catch (err) {
      setText(this.#subtitle, sentence(err));
    }
  }

  #draw(s: ClientState): void {
    const open = [...s.chats.values()].find((c) => c.info.state !== 'closed');
    if (this.#chat === 0 && open) this.#chat = open.info.chat; // begun before a reload, or in another tab
    // Nothing to hear: no connection is kept for a form.
    if (this.#chat === 0 && s.link.at === 'open' && !this.#starting) return this.#client.stop();
    const chat = s.chats.get(this.#chat);
    // Whether anybody is there matters to who looks at the form, and to nobody else.
    if (!chat && this.#host.shown) this.#guest.start();
    else this.#guest.stop();
    this.#link.update(s.link, s.degraded);
    show(this.#form.element, !chat);
    show(this.#talk.element, chat !== undefined);
    const state = chat?.info.state;
    show(this.#preview, chat !== undefined && state !== 'closed' && s.preview);
    show(this.#end, chat !== undefined && state !== 'closed');
    show(this.#over, state === 'closed');
    show(this.#waiting, state === 'waiting' || state === 'offered');
    show(this.#still, state === 'waiting' && chat?.info.still !== undefined);
    this.#head(chat);
    if (!chat || !s.me) return;
    setText(this.#waiting, place(chat.info.place, chat.info.wait_ms, chat.info.opens));
    const operator = chat.info.operator;
    this.#talk.update({
      chat,
      me: s.me.person,
      nameOf: (person) => (operator && person === `o${operator.id}` ? operator.name : nameIn(chat, person)),
      blocked: state === 'closed' ? 'closed' : '',
    });
    this.#count(chat, s.me.person);
  }

  #head(chat: Chat | undefined): void {
    const operator = chat?.info.operator;
    const name = operator?.name ?? this.#orgName;
    setText(this.#title, name);
    setText(this.#avatar, initials(name));
    this.#avatar.dataset['tint'] = tint(name);
    if (!chat) setText(this.#subtitle, this.#guest.open === false ? 'Nobody is here right now' : 'We are here to help');
    else if (chat.info.state === 'closed') setText(this.#subtitle, 'Chat ended');
    else if (operator?.away) setText(this.#subtitle, 'Reconnecting…');
    else setText(this.#subtitle, operator ? this.#orgName : 'Finding someone for you');
  }

  #count(chat: Chat, me: string): void {
    const theirs = chat.messages.filter((m) => m.from !== me).length;
    if (this.#host.shown) this.#read = theirs;
    this.#host.unread(theirs - this.#read);
  }
}

/** Where a visitor stands, and for how long perhaps: nothing is said of what is not known. */
function place(n: number | undefined, wait: number | undefined, opens: number | undefined): string {
  if (opens !== undefined) return `We open on ${moment(opens)}. You are number ${n ?? 1} in line.`;
  if (n === undefined) return 'Connecting you with someone…';
  const where = n <= 1 ? 'You are next in line.' : `You are number ${n} in line.`;
  if (wait === undefined || wait < 0) return where;
  const minutes = Math.ceil(wait / 60_000);
  return `${where} About ${minutes === 1 ? 'a minute' : `${minutes} minutes`} to wait.`;
}

/** A short name of a text (FNV-1a). */
function hash(text: string): string {
  let n = 0x811c9dc5;
  for (const c of text) n = Math.imul(n ^ (c.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return n.toString(36);
}

function nameIn(chat: Chat, person: string): string {
  return chat.messages.find((m) => m.from === person && m.name)?.name ?? 'Support';
}

async function boot(): Promise<void> {
  app.replaceChildren(h('p', { class: 'boot muted', attr: { role: 'status' } }, 'Loading…'));
  try {
    new Widget(await ask());
  } catch (err) {
    const retry = h('button', { class: 'button', attr: { type: 'button' }, on: { click: () => void boot() } }, 'Try again');
    app.replaceChildren(h('div', { class: 'boot', attr: { role: 'alert' } }, h('p', {}, sentence(err)), retry));
  }
}
void boot();
