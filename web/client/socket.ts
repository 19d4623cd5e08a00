import { backoff } from './backoff.ts';
import { final } from './errors.ts';
import { Close, decode, type ClientFrame, type Frame, type Position, type ServerFrame } from './frames.ts';
import { disconnected, Pipe, type Answer, type Request, type WebSocketLike } from './pipe.ts';

/** Why a socket will not come back by itself. */
export type StopReason =
  | 'left' // stop() was called
  | 'logged_out' // 4003; the reason came in a logout frame
  | 'unauthorized' // no token could be had
  | 'protocol'; // this client and the server do not understand each other

/** Where the link stands. */
export type LinkState =
  | { readonly at: 'idle' }
  | { readonly at: 'connecting'; readonly tries: number }
  | { readonly at: 'open'; readonly node: string }
  | { readonly at: 'waiting'; readonly tries: number; readonly retryAt: number }
  | { readonly at: 'stopped'; readonly why: StopReason; readonly message: string };

/** A person's token and when it ends, Unix ms by the server's clock. */
export interface Token {
  readonly token: string;
  readonly expires: number;
}

export interface SocketOptions {
  /** ws:// or wss:// address of /ws. */
  url: string;
  /**
   * A token for the next hello or auth. fresh: the last one was refused or is
   * about to end, a cached one will not do. Throwing a final Refused stops the
   * socket; any other error is retried with backoff.
   */
  token(fresh: boolean): Promise<Token>;
  /** What to say in hello: positions of known chats, and what to watch. */
  hello(): { chats: Position[]; watch: string[]; team?: number; operators?: number[]; idle?: boolean };
  /** Every frame but ping, in order; answers come here before their promise settles. */
  frame(frame: ServerFrame): void;
  /** Every change of the link. */
  state(state: LinkState): void;
  /** A frame that could not be read; it has been skipped. */
  fault?(err: Error): void;
  connect?(url: string): WebSocketLike;
  random?(): number;
  /** How long to wait for ready on a new connection (10 s), and for life after a probe (5 s). */
  readyMs?: number;
  probeMs?: number;
}

/** Renew a token this long before it ends. */
const RENEW_MS = 5 * 60_000;
/** A timer of more than 24 days would fire at once. */
const LONGEST_TIMER_MS = 24 * 3_600_000;
/** A connection that lived this long was a good one: start counting tries again. */
const GOOD_MS = 10_000;
/** The least wait after 4029. */
const TOO_FAST_MS = 5_000;
/** A timer later than this means that the machine slept. */
const SLEPT_MS = 2_000;

type Timer = 'retry' | 'dead' | 'renew';

/**
 * One WebSocket that stays: connects, says hello, answers pings, notices a dead
 * link by the server's own timings, renews its token in-band and reconnects
 * as the close code asks (the table in docs/protocol.md). It knows nothing of
 * chats; Client does.
 */
export class Socket {
  readonly #o: SocketOptions;
  #pipe: Pipe | undefined; // the current connection
  #state: LinkState = { at: 'idle' };
  #attempt = 0; // tells late promises of earlier connections apart
  #tries = 0; // connections lost since the last good one
  #fresh = false; // the last token was refused
  #forget = false; // say hello without positions
  #notBefore = 0; // earliest reconnect that the server asked for
  #openedAt = 0;
  #heard = 0; // messages of the server
  #heardAt = 0;
  #timeoutMs = 0;
  #spreadMs = 0; // over how long to spread the first try, by the last ping
  #ahead = 0; // server's clock minus ours
  readonly #timers = new Map<Timer, ReturnType<typeof setTimeout>>();

  constructor(options: SocketOptions) {
    this.#o = options;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** The server's clock, Unix ms. */
  now(): number {
    return Date.now() + this.#ahead;
  }

  /** Connects and stays connected until stop. A stopped socket starts anew. */
  start(): void {
    if (this.#state.at !== 'idle' && this.#state.at !== 'stopped') return;
    this.#tries = 0;
    this.#notBefore = 0;
    void this.#connect();
  }

  /** Closes for good; requests under way are rejected. */
  stop(): void {
    this.#halt('left', '');
  }

  /**
   * Call it when the machine may have slept or the network came back. A link
   * that gives no sign of life within 5 s is replaced; a wait is cut short
   * unless the server asked for it.
   */
  wake(): void {
    if (this.#state.at === 'open') this.#probe();
    else if (this.#state.at === 'waiting' && Date.now() >= this.#notBefore) {
      this.#wait(Math.min(this.#state.retryAt - Date.now(), backoff(0, this.#o.random)));
    }
  }

  /** Sends now or, without a link, not at all: for typing and viewing. */
  tell(frame: ClientFrame): boolean {
    if (this.#state.at !== 'open') return false;
    this.#pipe?.push(frame);
    return true;
  }

  /**
   * Sends and waits for the one answer. Rejects with Refused: the server's
   * error, or "disconnected" when the link ends first.
   */
  request(frame: Request): Promise<Answer> {
    if (this.#state.at !== 'open' || !this.#pipe) return Promise.reject(disconnected());
    return this.#pipe.request(frame);
  }

  // Connecting.

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#to({ at: 'connecting', tries: this.#tries });
    // Covers the token as well: its HTTP request may hang as long as a socket can.
    this.#timer('dead', this.#o.readyMs ?? 10_000, () => this.#lost(0));
    let token: Token;
    try {
      token = await this.#o.token(this.#fresh);
    } catch (err) {
      if (attempt !== this.#attempt) return;
      if (final(err)) this.#halt(err.code === 'logged_out' ? 'logged_out' : 'unauthorized', err.message);
      else this.#lost(0);
      return;
    }
    if (attempt !== this.#attempt) return;
    const ws = this.#o.connect?.(this.#o.url) ?? new WebSocket(this.#o.url);
    const pipe = new Pipe(ws);
    this.#pipe = pipe;
    ws.onopen = () => {
      const { chats, watch, team, operators, idle } = this.#o.hello();
      const hello: ClientFrame = { t: 'hello', v: 1, token: token.token };
      if (chats.length > 0 && !this.#forget) hello.chats = chats;
      if (watch.length > 0) hello.watch = watch;
      if (team !== undefined) hello.team = team;
      if (operators !== undefined) hello.operators = operators;
      if (idle) hello.idle = true;
      pipe.push(hello);
    };
    ws.onmessage = (event: MessageEvent) => {
      this.#heard++;
      this.#heardAt = Date.now();
      for (const frame of decode(String(event.data), (err) => this.#o.fault?.(err))) {
        if (this.#pipe !== pipe) return; // the frame before this one ended the link
        this.#handle(frame, pipe, token);
      }
    };
    ws.onclose = (event: CloseEvent) => this.#lost(event.code);
    ws.onerror = () => {}; // close follows and says more
  }

  #handle(frame: ServerFrame, pipe: Pipe, token: Token): void {
    switch (frame.t) {
      case 'ping':
        this.#spreadMs = frame.spread_ms ?? 0;
        pipe.push({ t: 'pong' });
        return;
      case 'ready':
        this.#ready(frame, token);
        break;
      case 'moving':
        this.#notBefore = Date.now() + frame.in_ms;
        break;
      case 'error':
        // Without a request id it speaks of the connection as a whole.
        if (frame.code === 'too_fast' && !frame.re) this.#notBefore = Date.now() + (frame.retry_ms ?? 0);
        break;
    }
    this.#o.frame(frame);
    pipe.answer(frame);
  }

  #ready(frame: Frame<'ready'>, token: Token): void {
    this.#fresh = this.#forget = false;
    this.#notBefore = 0;
    this.#openedAt = Date.now();
    this.#ahead = frame.now - Date.now();
    this.#timeoutMs = frame.timeout_ms;
    this.#renewBefore(Math.min(frame.expires, token.expires));
    this.#watchLife();
    this.#to({ at: 'open', node: frame.node });
  }

  // Staying alive.

  #watchLife(): void {
    const due = this.#heardAt + this.#timeoutMs;
    this.#timer('dead', due - Date.now(), () => {
      if (this.#heardAt + this.#timeoutMs > Date.now()) this.#watchLife();
      // What the server sent while we slept may still be queued behind this call.
      else if (Date.now() > due + SLEPT_MS) this.#probe();
      else this.#lost(0);
    });
  }

  /** Asks for a sign of life; auth is the request that is always answered. */
  #probe(): void {
    const before = this.#heard;
    void this.#renew(false);
    this.#timer('dead', this.#o.probeMs ?? 5_000, () => {
      if (this.#heard > before) this.#watchLife();
      else this.#lost(0);
    });
  }

  #renewBefore(expires: number): void {
    const left = expires - this.now();
    // Half of what is left for a token that lives shorter than the margin.
    const wait = Math.max(left - RENEW_MS, left / 2, 1_000);
    this.#timer('renew', Math.min(wait, LONGEST_TIMER_MS), () => {
      if (wait > LONGEST_TIMER_MS) this.#renewBefore(expires);
      else void this.#renew(true);
    });
  }

  async #renew(fresh: boolean): Promise<void> {
    const attempt = this.#attempt;
    try {
      const token = await this.#o.token(fresh);
      if (attempt !== this.#attempt) return;
      await this.request({ t: 'auth', token: token.token });
      if (attempt === this.#attempt) this.#renewBefore(token.expires);
    } catch {
      // Not fatal while the old token lives; when it ends the server says 4001.
      if (attempt === this.#attempt) this.#timer('renew', 30_000, () => void this.#renew(true));
    }
  }

  // Losing and stopping.

  #lost(code: number): void {
    this.#leave();
    switch (code) {
      case Close.loggedOut:
        return this.#halt('logged_out', '');
      case Close.protocol:
      case Close.badText:
      case Close.tooBig:
        return this.#halt('protocol', `the server closed the connection with ${code}`);
      case Close.expired:
        this.#fresh = true;
        break;
      case Close.positionLost:
        this.#forget = true;
        break;
      case Close.tooFast:
        this.#notBefore = Math.max(this.#notBefore, Date.now() + TOO_FAST_MS);
        break;
    }
    if (this.#openedAt > 0 && Date.now() - this.#openedAt > GOOD_MS) this.#tries = 0;
    this.#openedAt = 0;
    const asked = this.#notBefore - Date.now();
    const own = backoff(this.#tries++, this.#o.random, this.#spreadMs);
    this.#spreadMs = 0;
    // The server spreads the clients of a moving node; our jitter would only delay.
    this.#wait(code === Close.moving && asked > 0 ? asked : Math.max(own, asked));
  }

  #wait(ms: number): void {
    const wait = Math.max(0, ms);
    this.#timer('retry', wait, () => void this.#connect());
    this.#to({ at: 'waiting', tries: this.#tries, retryAt: Date.now() + wait });
  }

  #halt(why: StopReason, message: string): void {
    this.#leave();
    this.#to({ at: 'stopped', why, message });
  }

  #leave(): void {
    this.#attempt++;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    const pipe = this.#pipe;
    this.#pipe = undefined;
    pipe?.end();
  }

  /** One timer per purpose: setting it ends the one before. */
  #timer(name: Timer, ms: number, fire: () => void): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(fire, Math.max(0, ms)));
  }

  #to(state: LinkState): void {
    this.#state = state;
    this.#o.state(state);
  }
}
