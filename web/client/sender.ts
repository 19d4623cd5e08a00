import { Refused, transient } from './errors.ts';
import { newCmid, type Draft, type Outbox } from './outbox.ts';
import type { Socket } from './socket.ts';

/** What a visitor starts a chat with. */
export interface Opening {
  /** 0: everyone. */
  team: number;
  /** The first message; may be empty. */
  text: string;
  /** Address of the page the visitor is on. */
  page: string;
}

interface Starting extends Opening {
  cmid: string;
  done(chat: number): void;
  failed(err: Refused): void;
}

/** Wait before asking again when the server did not say how long. */
const RETRY_MS = 2_000;

/**
 * Sends what must arrive: drafts, one at a time in each chat so that they keep
 * their order, and the start of a chat. What the link or a busy server swallows
 * is sent again, unchanged; connected does so after every ready.
 */
export class Sender {
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #refused: (draft: Draft, err: unknown) => void;
  readonly #begun: (chat: number) => void;
  readonly #sending = new Set<number>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #starting: Starting | undefined;

  /** refused: the server will never take this draft. begun: the chat's first message is in the outbox. */
  constructor(
    socket: Socket,
    outbox: Outbox,
    refused: (draft: Draft, err: unknown) => void,
    begun: (chat: number) => void,
  ) {
    this.#socket = socket;
    this.#outbox = outbox;
    this.#refused = refused;
    this.#begun = begun;
  }

  /** The link is up; open is the chat that the person has open, if any. */
  connected(open: number | undefined): void {
    if (this.#starting && open !== undefined) this.#started(open);
    else void this.#pumpStart();
    for (const chat of this.#outbox.chats()) void this.pump(chat);
  }

  /** The link is gone: whatever was under way is sent again by connected. */
  disconnected(): void {
    this.#sending.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  stop(): void {
    this.disconnected();
    this.#starting?.failed(new Refused('disconnected', 'the chat was not started'));
    this.#starting = undefined;
  }

  start(opening: Opening): Promise<number> {
    return new Promise((done, failed) => {
      this.#starting?.failed(new Refused('conflict', 'another start took its place'));
      this.#starting = { ...opening, cmid: newCmid(), done, failed };
      void this.#pumpStart();
    });
  }

  /** Sends the chat's next draft, and then the one after it. */
  async pump(chat: number): Promise<void> {
    if (this.#sending.has(chat) || this.#socket.state.at !== 'open') return;
    const draft = this.#outbox.next(chat);
    if (!draft) return;
    this.#sending.add(chat);
    try {
      await this.#socket.request({
        t: 'message', chat, cmid: draft.cmid, text: draft.text,
        ...((draft.seen ?? -1) >= 0 ? { seen: draft.seen } : {}),
      });
    } catch (err) {
      if (err instanceof Refused && err.code === 'disconnected') return;
      if (transient(err)) {
        this.#later(err.retryMs, () => {
          this.#sending.delete(chat);
          void this.pump(chat);
        });
        return;
      }
      this.#refused(draft, err);
    }
    this.#sending.delete(chat);
    void this.pump(chat);
  }

  async #pumpStart(): Promise<void> {
    const starting = this.#starting;
    if (!starting || this.#socket.state.at !== 'open') return;
    const { team, text, page, cmid } = starting;
    try {
      const answer = await this.#socket.request({ t: 'chat.start', cmid, team, text, page });
      if (this.#starting === starting && 'chat' in answer) this.#started(answer.chat);
    } catch (err) {
      if (this.#starting !== starting || !(err instanceof Refused) || err.code === 'disconnected') return;
      if (transient(err)) return this.#later(err.retryMs, () => void this.#pumpStart());
      this.#starting = undefined;
      starting.failed(err);
    }
  }

  /**
   * The chat exists. Whether its first message is in it is not known: an older
   * chat may have been found open. So it is sent once more under the same id.
   */
  #started(chat: number): void {
    const starting = this.#starting;
    this.#starting = undefined;
    if (!starting) return;
    if (starting.text !== '') {
      this.#outbox.add(chat, starting.text, starting.cmid);
      this.#begun(chat);
      void this.pump(chat);
    }
    starting.done(chat);
  }

  #later(ms: number, fire: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      fire();
    }, ms || RETRY_MS);
    this.#timers.add(timer);
  }
}
