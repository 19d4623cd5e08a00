import type { Chat, Client, ClientState, Session } from '../client/index.ts';
import { Conversation } from '../ui/conversation.ts';
import { confirmed } from '../ui/dialog.ts';
import { h, icon, setText, show } from '../ui/dom.ts';
import type { Handover } from '../ui/handover.ts';
import { holds, Parts, supervises } from '../ui/parts.ts';
import { address, hour, initials, tint, visitorName } from '../ui/words.ts';

/** The chat I work on: who it is, who else is in it, what was said, what I answer. */
export class ChatPanel {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #empty: HTMLElement;
  readonly #room: HTMLElement;
  readonly #name = h('h1', { class: 'clip' });
  readonly #sub = h('p', { class: 'muted small clip' });
  readonly #avatar = h('div', { class: 'avatar', attr: { 'aria-hidden': 'true' } });
  readonly #viewers = h('p', { class: 'viewers small', hidden: true, attr: { role: 'status' } });
  readonly #close: HTMLButtonElement;
  readonly #leave: HTMLButtonElement;
  readonly #over: HTMLButtonElement;
  readonly #parts: Parts;
  readonly #done: HTMLButtonElement;
  readonly #ended = h('p', { class: 'ended muted small', hidden: true, attr: { role: 'status' } });
  readonly #talk: Conversation;
  #id = 0;

  constructor(client: Client, session: Session, handover: Handover, fail: (err: unknown) => void, back: () => void) {
    this.#client = client;
    this.#parts = new Parts(client, session, fail);
    this.#talk = new Conversation({
      send: (text) => client.send(this.#id, text),
      typing: (on) => client.typing(this.#id, on),
      retry: (cmid) => client.retry(this.#id, cmid),
      discard: (cmid) => client.discard(this.#id, cmid),
    });
    this.#close = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void this.#end().catch(fail) } }, 'Close chat');
    this.#leave = h('button', { class: 'button slim', hidden: true, attr: { type: 'button' }, on: { click: () => void client.part(this.#id).catch(fail) } }, 'Leave chat');
    this.#over = h('button', {
      class: 'button slim',
      attr: { type: 'button' },
      on: {
        click: () => {
          const chat = client.state.get().chats.get(this.#id);
          if (chat) handover.open(chat);
        },
      },
    }, 'Hand over…');
    this.#done = h('button', { class: 'button slim', hidden: true, attr: { type: 'button' }, on: { click: () => client.dismiss(this.#id) } }, 'Remove from list');
    const away = h('button', { class: 'round back', attr: { type: 'button', 'aria-label': 'Back to the list' }, on: { click: back } }, icon('back'));
    this.#empty = h('div', { class: 'empty muted' }, icon('chat'), h('p', {}, 'No chat is open. Accepted chats appear here.'));
    this.#room = h('div', { class: 'room', hidden: true },
      h('header', { class: 'room-top' }, away, this.#avatar,
        h('div', { class: 'grow stack' }, this.#name, this.#sub), this.#over, this.#close, this.#leave, this.#done),
      this.#viewers, this.#parts.element, this.#talk.element, this.#ended);
    this.element = h('section', { class: 'panel', attr: { 'aria-label': 'Conversation' } }, this.#empty, this.#room);
  }

  focus(): void {
    this.#talk.focus();
  }

  update(s: ClientState, id: number): void {
    this.#id = id;
    const chat = s.chats.get(id);
    show(this.#empty, !chat);
    show(this.#room, chat !== undefined);
    if (!chat || !s.me) return;
    const { info } = chat;
    const name = visitorName(info.visitor);
    const closed = info.state === 'closed';
    setText(this.#name, name);
    setText(this.#avatar, initials(name));
    this.#avatar.dataset['tint'] = tint(name);
    setText(this.#sub, about(chat));
    const mine = holds(s, chat);
    show(this.#close, !closed && info.role === undefined);
    show(this.#leave, !closed && info.role !== undefined);
    show(this.#over, !closed && (mine || info.role === 'join' || (info.role !== undefined && supervises(s))));
    this.#close.disabled = this.#leave.disabled = this.#over.disabled = s.link.at !== 'open';
    this.#parts.update(s, chat);
    show(this.#done, closed);
    show(this.#ended, closed);
    setText(this.#ended, 'This chat is closed.');
    const nameOf = (person: string) => (person === info.visitor?.id ? name : colleague(s, chat, person));
    const viewers = chat.viewing.map((m) => nameOf(m.person) + (m.away ? ' (away)' : ''));
    show(this.#viewers, viewers.length > 0);
    if (viewers.length > 0) {
      this.#viewers.replaceChildren(icon('eye'), `${viewers.join(', ')} ${viewers.length > 1 ? 'are' : 'is'} looking at this chat`);
    }
    this.#talk.update({ chat, me: s.me.person, nameOf, blocked: closed ? 'closed' : info.role === 'consult' || info.role === 'monitor' ? info.role : '' });
  }

  async #end(): Promise<void> {
    const id = this.#id;
    if (await confirmed('Close this chat?', 'The visitor sees that it has ended.', 'Close chat')) await this.#client.closeChat(id);
  }
}

/** One line about the visitor; the page is shown as text, a link would take the operator anywhere. */
function about({ info }: Chat): string {
  const here = info.state === 'closed' ? '' : info.here === false ? 'Away' : 'Here now';
  const since = info.since ? `since ${hour(info.since)}` : '';
  return [info.silent ? 'Silent: takes no slot until they write' : '', here, since, info.visitor?.email, address(info.visitor?.page ?? '')].filter(Boolean).join(' · ');
}

function colleague(s: ClientState, chat: Chat, person: string): string {
  const id = person.startsWith('o') ? Number(person.slice(1)) : 0;
  const known = s.operators.get(id) ?? chat.info.with?.find((one) => one.id === id) ?? (chat.info.operator?.id === id ? chat.info.operator : undefined);
  return known?.name ?? chat.messages.find((m) => m.from === person && m.name)?.name ?? 'A colleague';
}
