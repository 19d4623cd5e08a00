import type { Frame, Message } from './frames.ts';

/** What became of a message that was applied. */
export type Applied = 'new' | 'known' | 'gap';

/**
 * The messages of one chat as this client has them: dense from seq 1, in order,
 * each once. Whatever arrives twice, early or after a rewrite of history is
 * sorted out here; "gap" asks the caller to send a resume from `pos`.
 */
export class Log {
  #messages: Message[] = [];
  /** Messages that cannot be placed yet: later than the next, or from another generation. */
  readonly #ahead = new Map<number, Message>();
  #lost = 0;

  /** The live list, not a copy: it grows under the reader. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** Where this log ends; "" when it is empty. */
  get pos(): string {
    return this.#messages.at(-1)?.pos ?? '';
  }

  /** Whether the message of this position is here; "" always is. */
  has(pos: string): boolean {
    return pos === '' || this.#messages[Number.parseInt(pos, 10) - 1]?.pos === pos;
  }

  /** Takes a live message. */
  apply(message: Message): Applied {
    const mine = this.#messages[message.seq - 1];
    if (mine?.pos === message.pos) return 'known';
    // The same number with another generation: the store came back from a
    // failover without messages that we have. Only a resume can tell which.
    if (mine || message.seq > this.#messages.length + 1) {
      this.#ahead.set(message.seq, message);
      return 'gap';
    }
    this.#messages.push(message);
    this.#drain();
    return 'new';
  }

  /**
   * Takes the answer to a resume. "gap" means that messages are still missing
   * (they were sent while the answer was on its way) and that the caller should
   * ask again.
   */
  resumed(frame: Frame<'resumed'>): Applied {
    const before = this.#messages.length;
    if (!frame.ok) this.#messages = [];
    for (const message of frame.messages) this.#place(message);
    this.#drain();
    for (const [seq, message] of this.#ahead) {
      if (this.#messages[seq - 1]?.pos === message.pos) this.#ahead.delete(seq);
    }
    if (this.#ahead.size === 0) {
      this.#lost = 0;
      return this.#messages.length === before ? 'known' : 'new';
    }
    // Twice asked and still not whole: what we hold is not what the server has.
    if (++this.#lost >= 2) this.forget();
    return 'gap';
  }

  /** Drops everything; the next resume starts from the beginning. */
  forget(): void {
    this.#messages = [];
    this.#ahead.clear();
    this.#lost = 0;
  }

  #place(message: Message): void {
    if (message.seq === this.#messages.length + 1) this.#messages.push(message);
    else if (this.#messages[message.seq - 1]?.pos !== message.pos) this.#ahead.set(message.seq, message);
  }

  #drain(): void {
    for (;;) {
      const next = this.#ahead.get(this.#messages.length + 1);
      if (!next) return;
      this.#ahead.delete(next.seq);
      this.#messages.push(next);
    }
  }
}
