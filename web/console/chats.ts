import type { Chat, ClientState } from '../client/index.ts';
import { h, Keyed, setText, show, type Row } from '../ui/dom.ts';
import { count, hour, initials, tint, visitorName } from '../ui/words.ts';

interface Entry {
  chat: Chat;
  open: boolean;
  unread: number;
}

/** My chats: open ones first, then those that just ended. */
export class ChatList {
  readonly element: HTMLElement;
  readonly #rows: Keyed<Entry>;
  readonly #none = h('p', { class: 'none muted small' });
  readonly #title = h('h2', {}, 'Chats');
  readonly #read = new Map<number, number>();
  readonly #pick: (chat: number) => void;

  constructor(pick: (chat: number) => void) {
    this.#pick = pick;
    const list = h('ul', { class: 'chats' });
    this.element = h('nav', { class: 'chat-list', attr: { 'aria-label': 'Chats' } }, this.#title, this.#none, list);
    this.#rows = new Keyed(list, (e) => String(e.chat.info.chat), (e) => this.#row(e));
  }

  update(s: ClientState, open: number): void {
    const rank = (c: Chat) => (c.info.state === 'closed' ? 1 : 0);
    const chats = [...s.chats.values()].sort((a, b) => rank(a) - rank(b) || a.info.chat - b.info.chat);
    const entries = chats.map((chat) => {
      const id = chat.info.chat;
      if (id === open && !document.hidden) this.#read.set(id, chat.messages.length);
      const since = chat.messages.slice(this.#read.get(id) ?? 0);
      return { chat, open: id === open, unread: since.filter((m) => m.from !== s.me?.person).length };
    });
    show(this.#none, entries.length === 0);
    setText(this.#none, s.self?.intent === 'Available'
      ? 'No chats yet. The next one comes to you.'
      : 'No chats yet. Set your status to Available and they come to you.');
    this.#rows.update(entries);
  }

  #row(entry: Entry): Row<Entry> {
    const id = entry.chat.info.chat;
    const name = h('span', { class: 'strong clip' });
    const time = h('span', { class: 'muted small' });
    const text = h('span', { class: 'muted small clip grow' });
    const badge = h('span', { class: 'badge', hidden: true });
    const avatar = h('span', { class: 'avatar', attr: { 'aria-hidden': 'true' } });
    const button = h('button', { class: 'chat-item', attr: { type: 'button' }, on: { click: () => this.#pick(id) } },
      avatar,
      h('span', { class: 'grow stack' }, h('span', { class: 'line' }, name, time), h('span', { class: 'line' }, text, badge)));
    return {
      node: h('li', {}, button),
      update: ({ chat, open, unread }) => {
        const who = visitorName(chat.info.visitor);
        const last = chat.messages.at(-1);
        setText(name, who);
        setText(avatar, initials(who));
        avatar.dataset['tint'] = tint(who);
        setText(time, last ? hour(last.at) : '');
        const typing = chat.typing.some((m) => m.person.startsWith('v'));
        const closed = chat.info.state === 'closed';
        setText(text, closed ? 'Closed' : typing ? 'typing…' : (last?.text ?? 'No messages yet'));
        button.classList.toggle('over', closed);
        button.setAttribute('aria-current', String(open));
        show(badge, unread > 0);
        setText(badge, String(unread));
        button.setAttribute('aria-label', unread > 0 ? `${who}, ${count(unread, 'new message')}` : who);
      },
    };
  }
}
