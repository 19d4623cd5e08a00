import type { Socket } from './socket.ts';
import { expire, type ClientState } from './state.ts';
import type { Store } from './store.ts';

/** Renew our typing mark at most this often; the protocol's limit. */
const TYPING_MS = 3_000;
/** Show what is typed at most this often; the protocol's limit, and some more for the way. */
const PREVIEW_MS = 1_100;
const VIEWING_MS = 10_000;

/** Who types and who looks: ours are said and renewed, those of others end when their time is over. */
export class Marks {
  readonly #socket: Socket;
  readonly #state: Store<ClientState>;
  readonly #typed = new Map<number, number>(); // chat to when we last said so
  readonly #previews = new Map<number, { text: string; timer: ReturnType<typeof setTimeout> | undefined; at: number }>();
  #viewed = 0;
  #away = false;
  #viewTimer: ReturnType<typeof setInterval> | undefined;
  #sweepTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, state: Store<ClientState>) {
    this.#socket = socket;
    this.#state = state;
  }

  /** text: what a visitor has typed so far; said only where the organization shows it. */
  typing(chat: number, on: boolean, privately: boolean, text = ''): void {
    if (on && text !== '' && this.#state.get().preview && this.#state.get().me?.role === 'visitor') return this.#preview(chat, text);
    if (!on) this.#unpreview(chat);
    const last = this.#typed.get(chat);
    if (on ? last !== undefined && Date.now() - last < TYPING_MS : last === undefined) return;
    if (on) this.#typed.set(chat, Date.now());
    else this.#typed.delete(chat);
    this.#socket.tell({ t: 'typing', chat, on, ...(privately ? { private: true } : {}) });
  }

  /** The last text always goes out; those in between only once a second. */
  #preview(chat: number, text: string): void {
    const one = this.#previews.get(chat) ?? { text: '', timer: undefined, at: 0 };
    this.#previews.set(chat, one);
    one.text = text;
    if (one.timer !== undefined) return;
    one.timer = setTimeout(() => {
      one.timer = undefined;
      one.at = Date.now();
      this.#typed.set(chat, one.at);
      this.#socket.tell({ t: 'typing', chat, on: true, text: one.text.slice(-500) });
    }, Math.max(0, one.at + PREVIEW_MS - Date.now()));
  }

  #unpreview(chat: number): void {
    const one = this.#previews.get(chat);
    if (one?.timer !== undefined) {
      clearTimeout(one.timer);
      one.timer = undefined;
    }
  }

  /** A message was sent: the server has ended our typing mark by itself. */
  sent(chat: number): void {
    this.#typed.delete(chat);
    this.#unpreview(chat);
  }

  /** The page is hidden, or another window is in front of it: the chat is open, but nobody looks. */
  away(away: boolean): void {
    if (this.#away === away) return;
    this.#away = away;
    if (this.#viewed !== 0) this.#sayViewed();
  }

  view(chat: number): void {
    if (this.#viewed === chat) return;
    if (this.#viewed !== 0) this.#socket.tell({ t: 'viewing', chat: this.#viewed, on: false });
    this.#viewed = chat;
    clearInterval(this.#viewTimer);
    if (chat === 0) return;
    this.#sayViewed();
    this.#viewTimer = setInterval(() => this.#sayViewed(), VIEWING_MS);
  }

  /** A new connection knows nothing of our marks. */
  connected(): void {
    this.#typed.clear();
    if (this.#viewed !== 0) this.#sayViewed();
  }

  /** Removes the marks of others that are over, now and whenever the next one ends. */
  sweep(): void {
    const now = this.#socket.now();
    const { state, next } = expire(this.#state.get(), now);
    this.#state.set(state);
    clearTimeout(this.#sweepTimer);
    if (next > 0) this.#sweepTimer = setTimeout(() => this.sweep(), next - now + 5);
  }

  stop(): void {
    clearInterval(this.#viewTimer);
    clearTimeout(this.#sweepTimer);
    for (const chat of this.#previews.keys()) this.#unpreview(chat);
  }

  #sayViewed(): void {
    this.#socket.tell({ t: 'viewing', chat: this.#viewed, on: true, ...(this.#away ? { away: true } : {}) });
  }
}
