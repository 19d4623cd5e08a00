import { sentence, type Client, type ClientState, type Session } from '../client/index.ts';
import { Flash, h, setText, show } from '../ui/dom.ts';
import { Handover } from '../ui/handover.ts';
import { leave } from '../ui/leave.ts';
import { LinkNotice } from '../ui/link.ts';
import { linkBadge } from '../ui/status.ts';
import { count } from '../ui/words.ts';
import { ChatList } from './chats.ts';
import { ChatPanel } from './panel.ts';
import { Offers } from './offers.ts';
import { StatusPicker } from './picker.ts';
import { TestCall } from './calls.ts';

const PARTED: Record<string, string> = {
  transfer: 'The chat has gone to somebody else.',
  'take over': 'A supervisor has taken the chat over.',
  removed: 'Your part in the chat was ended.',
  moved: 'The chat has gone back to the queue.',
  closed: 'The chat you took part in has ended.',
};
const UNINVITED: Record<string, string> = {
  declined: 'has declined.',
  timeout: 'has not answered.',
  withdrawn: 'cannot come now.',
  connection_lost: 'has lost the connection.',
};

/** The whole console: who I am, what I am offered, what I hold, and the chat I work on. */
export class Desk {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #picker: StatusPicker;
  readonly #offers: Offers;
  readonly #list: ChatList;
  readonly #panel: ChatPanel;
  readonly #call: TestCall;
  readonly #link: LinkNotice;
  readonly #live = linkBadge();
  readonly #leaving = h('div', { class: 'notice warn leaving', hidden: true, attr: { role: 'alert' } });
  readonly #problem = new Flash(h('div', { class: 'notice bad', attr: { role: 'alert' } }), 6_000);
  readonly #news = new Flash(h('div', { class: 'notice', attr: { role: 'status' } }), 8_000);
  readonly #name = h('p', { class: 'who' });
  readonly #work = h('p', { class: 'work muted small' });
  readonly #off: () => void;
  #open = 0; // the chat shown
  #picking = false; // somebody to hand a chat to: everybody is watched
  #told: unknown[] = [];
  #colleagues = ''; // whom we watch: those whose names are on the screen

  constructor(client: Client, session: Session) {
    this.#client = client;
    const fail = (err: unknown) => this.#problem.say(sentence(err));
    this.#picker = new StatusPicker(client, fail);
    this.#offers = new Offers(client, fail);
    this.#list = new ChatList((chat) => this.#show(chat));
    const handover = new Handover(client, session, (on) => this.#pick(on), (text) => this.#news.say(text));
    this.#panel = new ChatPanel(client, session, handover, fail, () => this.#show(0));
    this.#call = new TestCall(client, fail);
    this.#link = new LinkNotice(() => client.wake());
    const out = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void leave(client).catch(fail) } }, 'Sign out');
    this.element = h('div', { class: 'desk' },
      h('aside', { class: 'side', attr: { 'aria-label': 'My work' } },
        h('header', { class: 'me' }, h('div', { class: 'line' }, this.#name, this.#live.element), this.#picker.element, this.#work),
        this.#offers.element,
        this.#list.element,
        h('footer', { class: 'foot-bar' }, this.#call.element, out)),
      h('main', { class: 'stage' }, this.#leaving, this.#link.element, this.#problem.element, this.#news.element, this.#panel.element));
    this.#off = client.state.subscribe((s) => this.#draw(s));
    for (const event of ['focus', 'blur']) addEventListener(event, this.#looked);
    document.addEventListener('visibilitychange', this.#looked);
  }

  /** Colleagues see whether somebody really looks at a chat, or only has it open. */
  readonly #looked = (): void => this.#client.away(document.hidden || !document.hasFocus());

  stop(): void {
    for (const event of ['focus', 'blur']) removeEventListener(event, this.#looked);
    document.removeEventListener('visibilitychange', this.#looked);
    this.#off();
    this.#picker.stop();
    this.#offers.stop();
    this.#call.stop();
  }

  #show(chat: number): void {
    this.#open = chat;
    this.#client.view(chat);
    this.#draw(this.#client.state.get());
    if (chat !== 0) this.#panel.focus();
  }

  #draw(s: ClientState): void {
    const { self } = s;
    if (this.#open !== 0 && !s.chats.has(this.#open)) this.#open = 0;
    // A chat that was just accepted is what the operator wants to see, unless busy with another.
    if (this.#open === 0) {
      const active = [...s.chats.values()].find((c) => c.info.state === 'active');
      if (active && matchMedia('(min-width: 760px)').matches) return this.#show(active.info.chat);
    }
    this.element.dataset['open'] = String(this.#open !== 0);
    this.#live.set(s.link.at);
    this.#link.update(s.link, s.degraded);
    setText(this.#name, s.me?.name || self?.name || '…');
    if (self) setText(this.#work, [count(self.chats, 'chat'), count(self.calls, 'call'), `${s.queue ?? 0} waiting`].join(' · '));
    this.#picker.update(s);
    this.#offers.update(s);
    this.#list.update(s, this.#open);
    this.#panel.update(s, this.#open);
    this.#call.update(s);
    this.#drawLeaving(s);
    this.#drawNews(s);
    this.#watch(s);
    const bell = s.offers.size > 0 ? `(${s.offers.size}) New chat · ` : '';
    if (document.title !== `${bell}Operator console`) document.title = `${bell}Operator console`;
  }

  /** Chats that went on without us, and invites of ours that came to nothing. */
  #drawNews(s: ClientState): void {
    const [parted, uninvited] = this.#told;
    this.#told = [s.parted, s.uninvited];
    if (s.parted && s.parted !== parted && PARTED[s.parted.reason]) this.#news.say(PARTED[s.parted.reason] ?? '');
    if (s.uninvited && s.uninvited !== uninvited && UNINVITED[s.uninvited.reason]) {
      this.#news.say(`${s.uninvited.operator.name} ${UNINVITED[s.uninvited.reason]}`);
    }
  }

  #pick(on: boolean): void {
    this.#picking = on;
    this.#colleagues = '';
    this.#client.watch(on ? { watch: ['queue', 'operators'] } : { watch: ['queue'] });
    if (!on) this.#watch(this.#client.state.get());
  }

  /** A desk has thousands of people; we need the names of those who look at this chat or type in it. */
  #watch(s: ClientState): void {
    const chat = s.chats.get(this.#open);
    const ids = [...(chat?.viewing ?? []), ...(chat?.typing ?? [])]
      .filter((m) => m.person.startsWith('o'))
      .map((m) => Number(m.person.slice(1)));
    const operators = [...new Set(ids)].sort((a, b) => a - b);
    if (this.#picking || s.link.at !== 'open' || operators.length === 0 || operators.join() === this.#colleagues) return;
    this.#colleagues = operators.join();
    this.#client.watch({ watch: ['queue', 'operators'], operators });
  }

  #drawLeaving(s: ClientState): void {
    show(this.#leaving, s.leaving !== undefined);
    if (!s.leaving) return;
    const left = [
      s.self?.chats ? count(s.self.chats, 'chat') : '',
      s.self?.calls ? count(s.self.calls, 'call') : '',
    ].filter(Boolean).join(' and ');
    // Without an order it was their own wish, and needs no reason.
    const reason = s.leaving.order && s.leaving.reason ? `: ${s.leaving.reason}` : '';
    setText(this.#leaving, `You will be signed out when your last chat or call ends${reason}.${left ? ` Still open: ${left}.` : ''} You get no new work.`);
  }
}
