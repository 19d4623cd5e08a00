import { call, chatView, sentence, type ChatInfo, type Client, type ClientState, type Session } from '../client/index.ts';
import { ChatPanel } from '../console/panel.ts';
import { Flash, h, Keyed, setText, show, type Row } from '../ui/dom.ts';
import { Handover } from '../ui/handover.ts';
import { visitorName } from '../ui/words.ts';

/** The chats of the one operator who is ticked, and the chat that the supervisor has come into. */
export class Rooms {
  readonly element: HTMLElement;
  readonly #client: Client;
  readonly #session: Session;
  readonly #list: HTMLElement;
  readonly #title = h('h2', { class: 'grow' });
  readonly #none = h('p', { class: 'muted small', hidden: true }, 'No chats now.');
  readonly #rows: Keyed<ChatInfo>;
  readonly #panel: ChatPanel;
  readonly #room: HTMLElement;
  readonly #said = new Flash(h('p', { class: 'small', attr: { role: 'status' } }), 8_000);
  #operator = 0;
  #seen = ''; // version of the operator's work that the list shows
  #open = 0;

  constructor(client: Client, session: Session) {
    this.#client = client;
    this.#session = session;
    const fail = (err: unknown) => this.#said.say(sentence(err));
    const rows = h('ul', { class: 'operator-chats' });
    this.#rows = new Keyed(rows, (c) => String(c.chat), (c) => this.#row(c, fail));
    const again = h('button', { class: 'button slim', attr: { type: 'button' }, on: { click: () => void this.#ask() } }, 'Look again');
    this.#list = h('section', { class: 'card-box rooms', hidden: true, attr: { 'aria-label': 'Chats of the operator' } },
      h('div', { class: 'line' }, this.#title, again), this.#none, rows);
    const handover = new Handover(client, session, () => {}, (text) => this.#said.say(text)); // all operators are watched here
    this.#panel = new ChatPanel(client, session, handover, fail, () => this.#show(0));
    this.#room = h('section', { class: 'card-box supervised', hidden: true, attr: { 'aria-label': 'Supervised chat' } }, this.#panel.element);
    this.element = h('div', { class: 'stack-gap' }, this.#said.element, this.#list, this.#room);
  }

  pick(picked: ReadonlySet<number>): void {
    const [one] = picked;
    this.#operator = picked.size === 1 && one !== undefined ? one : 0;
    this.#seen = '';
    this.#rows.update([]);
    this.update(this.#client.state.get());
  }

  update(s: ClientState): void {
    const operator = s.operators.get(this.#operator);
    show(this.#list, operator !== undefined);
    if (operator) {
      setText(this.#title, `Chats of ${operator.name}`);
      const seen = `${operator.id} ${operator.chats} ${operator.status} ${operator.since}`;
      if (seen !== this.#seen && s.link.at === 'open') {
        this.#seen = seen;
        void this.#ask();
      }
    }
    // A chat that we come into opens; one that we leave goes.
    if (this.#open === 0 || !s.chats.has(this.#open)) {
      this.#open = [...s.chats.values()].find((c) => c.info.state === 'active')?.info.chat ?? 0;
    }
    show(this.#room, this.#open !== 0);
    this.#panel.update(s, this.#open);
  }

  #show(chat: number): void {
    this.#open = chat;
    this.update(this.#client.state.get());
  }

  async #ask(): Promise<void> {
    const operator = this.#operator;
    if (operator === 0) return;
    try {
      const { token } = await this.#session.token();
      const list = (await call<unknown[] | null>(`/v1/operators/${operator}/chats`, { token })) ?? [];
      if (operator !== this.#operator) return;
      const chats = list.map((c, i) => chatView(c, `chats[${i}]`));
      this.#rows.update(chats);
      show(this.#none, chats.length === 0);
    } catch (err) {
      this.#said.say(sentence(err));
    }
  }

  #row(made: ChatInfo, fail: (err: unknown) => void): Row<ChatInfo> {
    const name = h('span', { class: 'grow clip' });
    const act = (text: string, role: 'monitor' | 'join' | 'hold', label: string) => h('button', {
      class: 'button slim',
      attr: { type: 'button', 'aria-label': `${label} ${visitorName(made.visitor)}` },
      on: { click: () => void this.#client.join(made.chat, role).then(() => this.#show(made.chat), fail) },
    }, text);
    const node = h('li', { class: 'line' }, name,
      act('Monitor', 'monitor', 'Monitor the chat with'), act('Join', 'join', 'Join the chat with'), act('Take over', 'hold', 'Take over the chat with'));
    return { node, update: (c) => setText(name, visitorName(c.visitor) + (c.role ? ` (${c.role})` : '')) };
  }
}
