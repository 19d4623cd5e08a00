/** A message that is not acknowledged yet. */
export interface Draft {
  readonly chat: number;
  /** Chosen here, kept until the ack and re-sent unchanged, so that a repeat changes nothing. */
  readonly cmid: string;
  readonly text: string;
  /** When it was written, by this machine's clock, Unix ms. */
  readonly at: number;
  /** The last message of the chat that was shown when it was written; -1 where nobody asks. */
  readonly seen?: number;
  /** Why the server refused it; missing while it is on its way. */
  readonly failed?: string;
}

/** Where drafts survive a reload; a Storage fits. */
export interface Keep {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** A new client message id: time first, so that ids sort in the order of writing. */
export function newCmid(): string {
  const random = crypto.getRandomValues(new Uint8Array(10));
  return Date.now().toString(36) + '-' + Array.from(random, (b) => b.toString(16).padStart(2, '0')).join('');
}

/**
 * What was written and not yet acknowledged, in order. It is bounded: beyond
 * 200 drafts add refuses, because nobody writes that many by hand.
 */
export class Outbox {
  static readonly LIMIT = 200;
  #drafts: Draft[] = [];
  readonly #keep: Keep | undefined;
  readonly #key: string;

  /** keep and key: where drafts survive a reload; without them they do not. */
  constructor(keep?: Keep, key = 'switchboard.outbox') {
    this.#keep = keep;
    this.#key = key;
    this.#load();
  }

  add(chat: number, text: string, cmid = newCmid(), seen = -1, now = Date.now()): Draft {
    if (this.#drafts.length >= Outbox.LIMIT) throw new RangeError('too many unsent messages');
    const draft: Draft = { chat, cmid, text, at: now, seen };
    this.#set([...this.#drafts, draft]);
    return draft;
  }

  of(chat: number): readonly Draft[] {
    return this.#drafts.filter((d) => d.chat === chat);
  }

  chats(): number[] {
    return [...new Set(this.#drafts.map((d) => d.chat))];
  }

  /** The first draft of the chat that is to be sent. */
  next(chat: number): Draft | undefined {
    return this.#drafts.find((d) => d.chat === chat && d.failed === undefined);
  }

  has(cmid: string): boolean {
    return this.#drafts.some((d) => d.cmid === cmid);
  }

  /** The draft is stored, or given up. */
  remove(cmid: string): void {
    if (this.has(cmid)) this.#set(this.#drafts.filter((d) => d.cmid !== cmid));
  }

  /** The server refused the draft; it stays visible until it is retried or removed. */
  fail(cmid: string, why: string): void {
    this.#set(this.#drafts.map((d) => (d.cmid === cmid ? { ...d, failed: why } : d)));
  }

  /** Sends a refused draft again, with its old cmid; seen: what is shown now. */
  retry(cmid: string, seen = -1): void {
    this.#set(
      this.#drafts.map((d) => (d.cmid === cmid ? { chat: d.chat, cmid: d.cmid, text: d.text, at: d.at, seen } : d)),
    );
  }

  #set(drafts: Draft[]): void {
    this.#drafts = drafts;
    try {
      if (drafts.length > 0) this.#keep?.setItem(this.#key, JSON.stringify(drafts));
      else this.#keep?.removeItem(this.#key);
    } catch {
      // A full or forbidden storage costs the drafts of a reload, not the chat.
    }
  }

  #load(): void {
    try {
      const kept: unknown = JSON.parse(this.#keep?.getItem(this.#key) ?? '[]');
      if (Array.isArray(kept)) this.#drafts = kept.filter(isDraft).slice(0, Outbox.LIMIT);
    } catch {
      this.#drafts = [];
    }
  }
}

function isDraft(value: unknown): value is Draft {
  const d = value as Draft | null;
  return (
    typeof d === 'object' && d !== null && Number.isSafeInteger(d.chat) &&
    typeof d.cmid === 'string' && typeof d.text === 'string' && typeof d.at === 'number'
  );
}
