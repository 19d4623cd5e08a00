import type { Socket } from './socket.ts';
import { expire, type ClientState } from './state.ts';
import type { Store } from './store.ts';

/** Renew our typing mark at most this often; the protocol's limit. */
const TYPING_MS = 3_000;
const VIEWING_MS = 10_000;

/** Who types and who looks: ours are said and renewed, those of others end when their time is over. */
export class Marks {
  readonly #socket: Socket;
  readonly #state: Store<ClientState>;
  readonly #typed = new Map<number, number>(); // chat to when we last said so
  #viewed = 0;
  #viewTimer: ReturnType<typeof setInterval> | undefined;
  #sweepTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, state: Store<ClientState>) {
    this.#socket = socket;
    this.#state = state;
  }

  typing(chat: number, on: boolean, privately: boolean): void {
    const last = this.#typed.get(chat);
    if (on ? last !== undefined && Date.now() - last < TYPING_MS : last === undefined) return;
    if (on) this.#typed.set(chat, Date.now());
    else this.#typed.delete(chat);
    this.#socket.tell({ t: 'typing', chat, on, ...(privately ? { private: true } : {}) });
  }

  /** A message was sent: the server has ended our typing mark by itself. */
  sent(chat: number): void {
    this.#typed.delete(chat);
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
  }

  #sayViewed(): void {
    this.#socket.tell({ t: 'viewing', chat: this.#viewed, on: true });
  }
}
