import { backoff } from './backoff.ts';
import { decode, type ServerFrame } from './frames.ts';
import type { WebSocketLike } from './pipe.ts';

export interface GuestOptions {
  url: string;
  org: number;
  /** The team to ask about; 0: anybody. */
  team: number;
  /** Whether anybody of the team answers now; undefined while that is not known. */
  changed(open: boolean | undefined): void;
  connect?(url: string): WebSocketLike;
  random?(): number;
}

/** A node that says nothing of its own timeout is given this long. */
const TIMEOUT_MS = 20_000;

/**
 * A page that wants to know whether anybody is there, and has nobody to speak
 * for yet: no token, no identity, nothing kept. The server says each change; a
 * lost connection is made anew, and meanwhile nothing is claimed.
 */
export class Guest {
  readonly #o: GuestOptions;
  #ws: WebSocketLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tries = 0;
  #timeoutMs = TIMEOUT_MS;
  #open: boolean | undefined;
  #on = false;

  constructor(options: GuestOptions) {
    this.#o = options;
  }

  get open(): boolean | undefined {
    return this.#open;
  }

  start(): void {
    if (this.#on) return;
    this.#on = true;
    this.#tries = 0;
    this.#connect();
  }

  stop(): void {
    this.#on = false;
    this.#leave();
  }

  /** Call it when the machine may have slept: the connection is made anew. */
  wake(): void {
    if (!this.#on) return;
    this.#leave();
    this.#connect();
  }

  #connect(): void {
    const ws = this.#o.connect?.(this.#o.url) ?? new WebSocket(this.#o.url);
    this.#ws = ws;
    this.#timeoutMs = TIMEOUT_MS;
    this.#alive();
    ws.onopen = () => {
      const { org, team } = this.#o;
      ws.send(JSON.stringify({ t: 'hello', v: 1, org, watch: ['availability'], team }));
    };
    ws.onmessage = (event: MessageEvent) => {
      if (this.#ws !== ws) return;
      this.#alive();
      for (const frame of decode(String(event.data), () => {})) this.#take(frame, ws);
    };
    ws.onclose = () => {
      if (this.#ws === ws) this.#lost();
    };
    ws.onerror = () => {}; // close follows
  }

  #take(frame: ServerFrame, ws: WebSocketLike): void {
    switch (frame.t) {
      case 'ping':
        return ws.send('{"t":"pong"}');
      case 'ready':
        this.#tries = 0;
        this.#timeoutMs = frame.timeout_ms;
        return this.#alive();
      case 'availability':
        return this.#say(frame.open);
    }
  }

  /** Something came: the link is good for the server's own timeout. */
  #alive(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), this.#timeoutMs);
  }

  #lost(): void {
    this.#leave();
    this.#timer = setTimeout(() => this.#connect(), 500 + backoff(this.#tries++, this.#o.random));
  }

  #leave(): void {
    clearTimeout(this.#timer);
    const ws = this.#ws;
    this.#ws = undefined;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.close();
    }
    this.#say(undefined);
  }

  #say(open: boolean | undefined): void {
    if (open === this.#open) return;
    this.#open = open;
    this.#o.changed(open);
  }
}
