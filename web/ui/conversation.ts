import { bytes, MAX_TEXT, type Chat, type Draft, type Message } from '../client/index.ts';
import { h, icon, Keyed, setText, show, type Row } from './dom.ts';
import { day, hour } from './words.ts';

/** What the conversation tells its page. */
export interface ConversationEvents {
  send(text: string): void;
  /** text: what stands in the field. */
  typing(on: boolean, text: string): void;
  retry(cmid: string): void;
  discard(cmid: string): void;
}

/** How the page sees the chat it shows. */
export interface ConversationView {
  chat: Chat;
  /** The person that this page belongs to. */
  me: string;
  nameOf(person: string): string;
  /** Why nothing can be written; "" when it can. */
  blocked: string;
}

type Item =
  | { kind: 'day'; key: string; at: number }
  | { kind: 'message'; key: string; message: Message; first: boolean; last: boolean }
  | { kind: 'draft'; key: string; draft: Draft };

/** Messages of one person this close together share one name and time. */
const GROUP_MS = 3 * 60_000;

/** The messages of a chat and the place to write; the widget and the console share it. */
export class Conversation {
  readonly element: HTMLElement;
  readonly #events: ConversationEvents;
  readonly #list = h('ol', { class: 'messages' });
  // A live region that is also a scroll area must take focus to be scrolled by keyboard.
  readonly #scroll = h('div', {
    class: 'scroll',
    attr: { role: 'log', 'aria-label': 'Messages', 'aria-live': 'polite', tabindex: '0' },
  });
  readonly #none = h('p', { class: 'none-yet' }, 'No messages yet.');
  readonly #typing = h('p', { class: 'typing', hidden: true });
  readonly #typist = h('span');
  readonly #preview = h('p', { class: 'preview', hidden: true, attr: { dir: 'auto' } });
  readonly #input: HTMLTextAreaElement;
  readonly #button: HTMLButtonElement;
  readonly #hint = h('p', { class: 'hint', hidden: true, attr: { role: 'status' } });
  readonly #form: HTMLFormElement;
  readonly #rows: Keyed<Item>;
  readonly #unsent = new Map<number, string>();
  #view: ConversationView | undefined;

  constructor(events: ConversationEvents) {
    this.#events = events;
    this.#input = h('textarea', {
      attr: { rows: '1', 'aria-label': 'Message', placeholder: 'Write a message', enterkeyhint: 'send' },
      on: {
        input: () => this.#edited(),
        keydown: (e) => this.#key(e),
        blur: () => this.#events.typing(false, ''),
      },
    });
    this.#button = h('button', { class: 'send', attr: { type: 'submit', 'aria-label': 'Send' } }, icon('send'));
    this.#form = h('form', {
      class: 'composer',
      on: {
        submit: (e) => {
          e.preventDefault();
          this.#send();
        },
      },
    }, this.#input, this.#button);
    const dots = h('span', { class: 'dots', attr: { 'aria-hidden': 'true' } }, h('i'), h('i'), h('i'));
    this.#typing.append(dots, this.#typist);
    this.#scroll.append(this.#none, this.#list, this.#typing, this.#preview);
    this.element = h('section', { class: 'conversation' }, this.#scroll, this.#hint, this.#form);
    this.#rows = new Keyed(this.#list, (item) => item.key, (item) => this.#row(item));
  }

  update(view: ConversationView): void {
    const switched = this.#view?.chat.info.chat !== view.chat.info.chat;
    if (switched) {
      // What was being written stays with its chat.
      if (this.#view) this.#unsent.set(this.#view.chat.info.chat, this.#input.value);
      this.#input.value = this.#unsent.get(view.chat.info.chat) ?? '';
      this.#unsent.delete(view.chat.info.chat);
    }
    this.#view = view;
    const { chat, me } = view;
    // Follow the end only if the reader is there; who reads upwards is left alone.
    const s = this.#scroll;
    const atEnd = switched || s.scrollHeight - s.scrollTop - s.clientHeight < 60;
    this.#rows.update(items(chat.messages, chat.drafts, me));
    show(this.#none, chat.messages.length + chat.drafts.length === 0);
    const typists = chat.typing.filter((m) => m.person !== me).map((m) => view.nameOf(m.person));
    if (typists.length > 0) setText(this.#typist, `${typists.join(' and ')} ${typists.length > 1 ? 'are' : 'is'} typing`);
    show(this.#typing, typists.length > 0);
    const typed = chat.typing.find((m) => m.text !== '' && m.person !== me)?.text ?? '';
    setText(this.#preview, typed);
    show(this.#preview, typed !== '');
    show(this.#form, view.blocked === '');
    this.#edited(false);
    if (atEnd) s.scrollTop = s.scrollHeight;
  }

  focus(): void {
    this.#input.focus({ preventScroll: true });
  }

  #row(made: Item): Row<Item> {
    if (made.kind === 'day') {
      const node = h('li', { class: 'day' }, h('span', {}, day(made.at)));
      return { node, update: () => {} };
    }
    const view = this.#view as ConversationView;
    const author = h('span', { class: 'author' });
    const text = h('p', { class: 'text', attr: { dir: 'auto' } });
    const foot = h('p', { class: 'foot' });
    const node = h('li', {}, author, text, foot);
    return {
      node,
      update: (item) => {
        if (item.kind === 'day') return;
        const mine = item.kind === 'draft' || item.message.from === view.me;
        setText(text, item.kind === 'draft' ? item.draft.text : item.message.text);
        if (item.kind === 'draft') {
          node.className = `message mine draft ${item.draft.failed === undefined ? '' : 'failed'}`;
          this.#draftFoot(foot, item.draft);
          return;
        }
        if (item.message.from === 's') { // the desk's own words
          node.className = 'message system';
          return setText(foot, hour(item.message.at));
        }
        node.className = `message ${mine ? 'mine' : 'theirs'} ${item.first ? 'first' : ''} ${item.last ? 'last' : ''}`;
        setText(author, mine ? 'You' : view.nameOf(item.message.from) || item.message.name || '');
        setText(foot, hour(item.message.at));
      },
    };
  }

  #draftFoot(foot: HTMLElement, draft: Draft): void {
    if (draft.failed === undefined) return setText(foot, 'Sending…');
    if (foot.childElementCount > 0) return;
    foot.replaceChildren(
      `Not sent. ${draft.failed} `,
      h('button', { class: 'link', attr: { type: 'button' }, on: { click: () => this.#events.retry(draft.cmid) } }, 'Try again'),
      ' ',
      h('button', { class: 'link', attr: { type: 'button' }, on: { click: () => this.#events.discard(draft.cmid) } }, 'Remove'),
    );
  }

  #edited(byHand = true): void {
    const input = this.#input;
    input.style.height = 'auto';
    input.style.height = `${Math.min(input.scrollHeight + 2, 140)}px`;
    const text = input.value.trim();
    const size = bytes(text);
    const over = size > MAX_TEXT;
    show(this.#hint, size > MAX_TEXT - 500);
    if (size > MAX_TEXT - 500) {
      setText(this.#hint, over ? 'This message is too long. Please send it in parts.' : 'This message is nearly at the limit.');
    }
    input.toggleAttribute('aria-invalid', over);
    this.#button.disabled = text === '' || over;
    if (byHand) this.#events.typing(text !== '', text);
  }

  #key(event: KeyboardEvent): void {
    // 229: some phones and input methods report Enter while composing a word.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#send();
  }

  #send(): void {
    const text = this.#input.value.trim();
    if (text === '' || bytes(text) > MAX_TEXT) return;
    try {
      this.#events.send(text);
    } catch {
      show(this.#hint, true);
      setText(this.#hint, 'Too many messages are waiting to be sent.');
      return;
    }
    this.#input.value = '';
    this.#edited(false);
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.focus();
  }
}

/** The list as it is shown: days, messages in groups, then what is not sent yet. */
function items(messages: readonly Message[], drafts: readonly Draft[], me: string): Item[] {
  const out: Item[] = [];
  messages.forEach((message, i) => {
    const before = messages[i - 1];
    const after = messages[i + 1];
    if (!before || day(before.at) !== day(message.at)) {
      out.push({ kind: 'day', key: `day ${day(message.at)}`, at: message.at });
    }
    const joins = (a?: Message, b?: Message) => a !== undefined && b !== undefined && a.from === b.from && b.at - a.at < GROUP_MS;
    // The key outlives the change from draft to message, so the bubble stays put. It
    // names the author, because the other side may choose an id that we chose before.
    out.push({ kind: 'message', key: `${message.from} ${message.cmid}`, message, first: !joins(before, message), last: !joins(message, after) });
  });
  for (const draft of drafts) out.push({ kind: 'draft', key: `${me} ${draft.cmid}`, draft });
  return out;
}
