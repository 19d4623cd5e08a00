import { Refused, sentence } from './errors.ts';
import type { ClientFrame, Frame, Message, Note, Position, ServerFrame } from './frames.ts';
import { Log } from './log.ts';
import { Marks } from './marks.ts';
import { newCmid, Outbox, type Keep } from './outbox.ts';
import { Sender, type Opening } from './sender.ts';
import { Socket, type SocketOptions } from './socket.ts';
import { addNotes, initial, patchChat, reduce, type ClientState } from './state.ts';
import { Store } from './store.ts';

/** What to watch, and of operators which: those of a team, or those on the screen; else all. */
export interface Watch {
  watch: string[];
  team?: number;
  operators?: number[];
}

/** Where a chat is to go: a person (of a team), or a team's queue. */
export interface Transfer {
  operator?: number;
  /** Left out: the chat's own. */
  to_team?: number;
  /** Also over the person's limit, where that is allowed. */
  over?: boolean;
  /** Into the queue, whether or not anybody answers there. */
  queue?: boolean;
  text?: string;
}

export interface ClientOptions extends Pick<SocketOptions, 'url' | 'token' | 'fault' | 'connect' | 'random' | 'readyMs' | 'probeMs'> {
  /** What to watch: "operators", "queue". */
  watch?: string[];
  /** Where unacknowledged messages survive a reload; sessionStorage fits. */
  keep?: Keep;
  keepKey?: string;
}

/**
 * One person's live connection to Switchboard: state to show, and what the
 * person can do. It loses no message that send took and shows none twice:
 * unacknowledged ones are re-sent under their old id after every reconnect, and
 * received ones are placed by their sequence number.
 *
 * Methods that return a promise reject with Refused.
 */
export class Client {
  /** What to show. Subscribers are called once per turn of the event loop. */
  readonly state = new Store<ClientState>(initial);
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #logs = new Map<number, Log>();
  readonly #sender: Sender;
  readonly #marks: Marks;
  readonly #resuming = new Set<number>();
  readonly #whole = new Set<number>(); // closed chats whose log is known to its end: a last message may be lost beside the close
  /** By chat the last note that failed, which may be stored all the same. */
  readonly #unsaid = new Map<number, { text: string; cmid: string }>();
  #idle = false;
  #watch: Watch;

  constructor(options: ClientOptions) {
    this.#watch = { watch: options.watch ?? [] };
    this.#outbox = new Outbox(options.keep, options.keepKey);
    this.#socket = new Socket({
      ...options,
      hello: () => ({ chats: this.#positions(), ...this.#watch, idle: this.#idle }),
      frame: (frame) => this.#take(frame),
      state: (link) => {
        this.state.update((s) => ({ ...s, link }));
        if (link.at === 'open') return;
        this.#sender.disconnected();
        this.#resuming.clear();
      },
    });
    this.#marks = new Marks(this.#socket, this.state);
    this.#sender = new Sender(
      this.#socket,
      this.#outbox,
      (draft, err) => {
        // Nobody could see a refused draft of a chat that is not shown.
        if (this.state.get().chats.has(draft.chat)) this.#outbox.fail(draft.cmid, sentence(err));
        else this.#outbox.remove(draft.cmid);
        this.#show(draft.chat);
      },
      (chat) => this.#show(chat),
    );
  }

  start(): void {
    this.#socket.start();
  }

  /** Closes the connection; the person stays here for the server's grace time. */
  stop(): void {
    this.#socket.stop();
    this.#sender.stop();
    this.#marks.stop();
  }

  /** See Socket.wake. */
  wake(): void {
    this.#socket.wake();
  }

  /** The server's clock, Unix ms. */
  now(): number {
    return this.#socket.now();
  }

  // Chats.

  /**
   * Starts a chat, or finds the one that is open already, and returns its id. It
   * waits for a connection as long as it takes.
   */
  startChat(opening: Opening): Promise<number> {
    return this.#sender.start(opening);
  }

  /** Takes a message for the chat; it is visible as a draft until the server has it. */
  send(chat: number, text: string): void {
    this.#outbox.add(chat, text, undefined, this.#seen(chat));
    this.#marks.sent(chat);
    this.#show(chat);
    void this.#sender.pump(chat);
  }

  /** Sends a refused message again. */
  retry(chat: number, cmid: string): void {
    this.#outbox.retry(cmid, this.#seen(chat));
    this.#show(chat);
    void this.#sender.pump(chat);
  }

  /** Gives a refused message up. */
  discard(chat: number, cmid: string): void {
    this.#outbox.remove(cmid);
    this.#show(chat);
  }

  /**
   * Call it at every keystroke; it is sent at most every 3 s. text, what a visitor
   * has typed so far, is shown to operators where the organization says so (and
   * state.preview says it to the visitor), at most once a second.
   */
  typing(chat: number, on: boolean, privately = false, text = ''): void {
    this.#marks.typing(chat, on, privately, text);
  }

  /** Says which chat this operator looks at; 0 for none. Renewed until changed. */
  view(chat: number): void {
    this.#marks.view(chat);
  }

  /** Says whether somebody looks at the page at all. */
  away(away: boolean): void {
    this.#marks.away(away);
  }

  /** Watches this and nothing else, from now on and after every reconnect. */
  watch(what: Watch): void {
    this.#watch = what;
    this.state.update((s) => ({ ...s, operators: new Map(), open: undefined }));
    this.#socket.tell({ t: 'watch', ...what });
  }

  /** Says that the visitor, who was asked (still), is there. */
  async here(chat: number): Promise<void> {
    await this.#socket.request({ t: 'chat.here', chat });
  }

  async closeChat(chat: number): Promise<void> {
    await this.#socket.request({ t: 'chat.close', chat });
  }

  /** Forgets a closed chat. */
  dismiss(chat: number): void {
    if (this.state.get().chats.get(chat)?.info.state !== 'closed') return;
    for (const draft of this.#outbox.of(chat)) this.#outbox.remove(draft.cmid);
    this.#logs.delete(chat);
    this.#whole.delete(chat);
    this.state.update((s) => {
      const chats = new Map(s.chats);
      chats.delete(chat);
      return { ...s, chats };
    });
  }

  // Operators.

  async accept(chat: number): Promise<void> {
    await this.#socket.request({ t: 'offer.accept', chat, token: this.#offerToken(chat) });
  }

  async decline(chat: number): Promise<void> {
    await this.#socket.request({ t: 'offer.decline', chat, token: this.#offerToken(chat) });
  }

  /**
   * Moves a chat: to a person, who is asked first, or to a team. Resolves to what
   * became of it: asked, moved, offered or queued.
   */
  async transfer(chat: number, to: Transfer): Promise<string> {
    const answer = await this.#socket.request({ t: 'chat.transfer', chat, ...to });
    return (answer.t === 'ok' && answer.outcome) || '';
  }

  /** Asks a colleague to consult in a chat, unseen by its visitor, or to join it. */
  async invite(chat: number, operator: number, role: 'consult' | 'join', text = ''): Promise<void> {
    await this.#socket.request({ t: 'chat.invite', chat, operator, role, ...(text && { text }) });
  }

  /** Comes into a chat as a supervisor: unseen, seen, or to hold it. */
  async join(chat: number, role: 'monitor' | 'join' | 'hold'): Promise<void> {
    await this.#socket.request({ t: 'chat.join', chat, role });
  }

  /** Ends one's own part in a chat; another's, or an invite, with operator. */
  async part(chat: number, operator = 0): Promise<void> {
    await this.#socket.request({ t: 'chat.part', chat, ...(operator > 0 && { operator }) });
  }

  /**
   * Says something to the chat's other operators; no visitor gets it. The same text
   * again after a failure is a repeat: the note whose answer was lost is stored once.
   */
  async note(chat: number, text: string): Promise<void> {
    const failed = this.#unsaid.get(chat);
    const cmid = failed?.text === text ? failed.cmid : newCmid();
    try {
      await this.#socket.request({ t: 'note', chat, cmid, text });
      if (this.#unsaid.get(chat)?.cmid === cmid) this.#unsaid.delete(chat);
    } catch (err) {
      this.#unsaid.set(chat, { text, cmid });
      throw err;
    }
  }

  /** Shows notes that were read over HTTP. */
  notes(chat: number, notes: readonly Note[]): void {
    this.state.update((s) => addNotes(s, chat, notes));
  }

  /**
   * Chooses a status: now or when the work ends, for good or for a time. Rejects
   * with code "conflict" when the status has changed since the last self, with
   * "forbidden" while a supervisor's temporary one lasts.
   */
  async setStatus(status: string, { afterWork = false, forMs = 0 } = {}): Promise<void> {
    await this.#status({ status, ...(afterWork && { when: 'after_work' as const }), ...(forMs > 0 && { for_ms: forMs }) });
  }

  /** Sets another's status, as a supervisor; with forMs they cannot change it until then. */
  async setStatusOf(operator: number, status: string, { forMs = 0, reason = '' } = {}): Promise<void> {
    const version = this.state.get().operators.get(operator)?.version ?? 0;
    await this.#status({ operator, status, version, ...(forMs > 0 && { for_ms: forMs }), ...(reason && { reason }) });
  }

  /** Takes back what was chosen for after work. */
  cancelPending(): Promise<void> {
    return this.#status({ when: 'cancel' });
  }

  /** Ends a temporary status, or one that the system has set. */
  returnStatus(): Promise<void> {
    return this.#status({ when: 'return' });
  }

  async #status(choice: Omit<Extract<ClientFrame, { t: 'status' }>, 't' | 're'>): Promise<void> {
    await this.#socket.request({ t: 'status', version: this.state.get().self?.version ?? 0, ...choice });
  }

  /** Says whether this page is in use; the server weighs all connections of the person. */
  idle(on: boolean): void {
    if (this.#idle === on) return;
    this.#idle = on;
    this.#socket.tell({ t: 'idle', on });
  }

  async call(step: 'start' | 'renew' | 'end', call: string): Promise<void> {
    await this.#socket.request({ t: `call.${step}`, call });
  }

  /**
   * "now" rejects with "conflict" while there is work; "drain" signs out when
   * the work ends. Resolves when the connection has ended.
   */
  async signOut(when: 'now' | 'drain'): Promise<void> {
    try {
      await this.#socket.request({ t: 'signout', when });
    } catch (err) {
      // The answer is logout and a close, or leaving and later a close.
      if (!(err instanceof Refused) || err.code !== 'disconnected') throw err;
    }
  }

  // Frames.

  #take(frame: ServerFrame): void {
    const before = this.state.get();
    this.state.set(reduce(before, frame, this.now()));
    switch (frame.t) {
      case 'ready':
        this.#ready(frame);
        break;
      case 'error':
        // A resume has no one answer; its refusal names the chat.
        if (!frame.re && frame.chat) this.#resuming.delete(frame.chat);
        break;
      case 'chat': {
        // A chat that becomes ours has a past that nobody sent.
        const ours = frame.state === 'active' && before.chats.get(frame.chat)?.info.state !== 'active';
        if (ours || !this.#log(frame.chat).has(frame.pos ?? '')) this.#resume([frame.chat]);
        break;
      }
      case 'chat.gone':
        this.#unsaid.delete(frame.chat);
        this.#logs.delete(frame.chat);
        for (const draft of this.#outbox.of(frame.chat)) this.#outbox.remove(draft.cmid);
        break;
      case 'message':
        this.#apply(frame);
        break;
      case 'ack':
        this.#acked(frame);
        break;
      case 'resumed':
        this.#resumed(frame);
        break;
      case 'gap':
        this.#resume(frame.chats?.length ? frame.chats : this.#positions().map((p) => p.chat));
        break;
      case 'typing':
      case 'viewing':
        this.#marks.sweep();
        break;
    }
  }

  #ready(frame: Frame<'ready'>): void {
    for (const chat of this.#outbox.chats()) this.#show(chat);
    this.#sender.connected(frame.chats.find((c) => c.state !== 'closed')?.chat);
    this.#marks.connected();
  }

  #apply(message: Message): void {
    const { chat } = message;
    if (this.#log(chat).apply(message) === 'gap') this.#resume([chat]);
    // Whoever wrote is not typing any more, whichever frame came first.
    this.state.update((s) =>
      patchChat(s, chat, (c) => ({ ...c, typing: c.typing.filter((m) => m.person !== message.from) })),
    );
    this.#show(chat);
  }

  #acked(ack: Frame<'ack'>): void {
    const draft = this.#outbox.of(ack.chat).find((d) => d.cmid === ack.cmid);
    const me = this.state.get().me;
    if (!draft || !me) return;
    this.#outbox.remove(ack.cmid);
    const { chat, cmid, pos, seq, at } = ack;
    this.#apply({ chat, cmid, pos, seq, at, from: me.person, name: me.name, text: draft.text });
  }

  #resumed(frame: Frame<'resumed'>): void {
    this.#resuming.delete(frame.chat);
    if (this.#log(frame.chat).resumed(frame) === 'gap') this.#resume([frame.chat]);
    else if (frame.state === 'closed') this.#whole.add(frame.chat);
    this.#show(frame.chat);
  }

  #resume(chats: number[]): void {
    const asked = chats.filter((chat) => !this.#resuming.has(chat));
    if (asked.length === 0) return;
    for (const chat of asked) this.#resuming.add(chat);
    this.#socket.tell({ t: 'resume', chats: asked.map((chat) => ({ chat, pos: this.#log(chat).pos })) });
  }

  // Small things.

  #log(chat: number): Log {
    let log = this.#logs.get(chat);
    if (!log) this.#logs.set(chat, (log = new Log()));
    return log;
  }

  #positions(): Position[] {
    return [...this.state.get().chats.values()]
      .filter((c) => !(c.info.state === 'closed' && this.#whole.has(c.info.chat)) && this.#log(c.info.chat).pos !== '')
      .map((c) => ({ chat: c.info.chat, pos: this.#log(c.info.chat).pos }));
  }

  /** The last message that is shown of a chat: operators say it with what they send (W-3). */
  #seen(chat: number): number {
    return this.state.get().me?.role === 'visitor' ? -1 : (this.#log(chat).messages.at(-1)?.seq ?? 0);
  }

  /** Copies what the log and the outbox hold of a chat into the state. */
  #show(chat: number): void {
    const messages = this.#log(chat).messages;
    const mine = this.state.get().me?.person;
    for (const draft of this.#outbox.of(chat)) {
      if (messages.some((m) => m.cmid === draft.cmid && m.from === mine)) this.#outbox.remove(draft.cmid);
    }
    const drafts = this.#outbox.of(chat);
    this.state.update((s) => patchChat(s, chat, (c) => ({ ...c, messages, drafts })));
  }

  #offerToken(chat: number): string {
    const offer = this.state.get().offers.get(chat);
    if (!offer) throw new Refused('conflict', 'this offer is over');
    return offer.token;
  }
}
