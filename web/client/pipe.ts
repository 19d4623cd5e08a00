import { Refused } from './errors.ts';
import { bytes, MAX_FRAME, MAX_OBJECTS, type ClientFrame, type ServerFrame } from './frames.ts';

/** The part of the browser's WebSocket that is used; a test may bring its own. */
export type WebSocketLike = Pick<WebSocket, 'send' | 'close' | 'onopen' | 'onmessage' | 'onclose' | 'onerror'>;

/** What a request may be answered with; errors reject. */
export type Answer = Extract<ServerFrame, { t: 'ok' | 'ack' | 'chat' | 'resumed' | 'presence' | 'self' }>;
/** A frame that has an answer, without the id that the pipe gives it. */
export type Request = Exclude<ClientFrame, { t: 'hello' | 'pong' | 'typing' | 'viewing' }>;

interface Waiting {
  resolve(frame: Answer): void;
  reject(err: Refused): void;
}

/** One connection's outgoing frames and the answers they wait for. A new connection gets a new pipe. */
export class Pipe {
  readonly ws: WebSocketLike;
  #out: string[] = [];
  #re = 0;
  readonly #waiting = new Map<string, Waiting>();

  constructor(ws: WebSocketLike) {
    this.ws = ws;
  }

  /** Queues one object; all of one turn of the event loop share as few frames as the limits allow. */
  push(frame: ClientFrame): void {
    if (this.#out.push(JSON.stringify(frame)) === 1) queueMicrotask(() => this.#flush());
  }

  request(frame: Request): Promise<Answer> {
    const re = String(++this.#re);
    return new Promise((resolve, reject) => {
      this.#waiting.set(re, { resolve, reject });
      this.push({ ...frame, re });
    });
  }

  /** Settles the request that the frame answers, if it answers one. */
  answer(frame: ServerFrame): void {
    if (!('re' in frame) || frame.re === undefined) return;
    const waiting = this.#waiting.get(frame.re);
    if (!waiting) return;
    this.#waiting.delete(frame.re);
    if (frame.t === 'error') waiting.reject(new Refused(frame.code, frame.message, frame.field, frame.retry_ms));
    else waiting.resolve(frame as Answer);
  }

  /** Leaves the connection, whether or not it ever closes properly; what waits is rejected. */
  end(): void {
    this.ws.onopen = this.ws.onmessage = this.ws.onclose = null;
    this.ws.close();
    this.#out = [];
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const each of waiting) each.reject(disconnected());
  }

  #flush(): void {
    const lines = this.#out;
    this.#out = [];
    let frame: string[] = [];
    let size = 0;
    for (const line of lines) {
      const more = bytes(line) + 1;
      if (frame.length === MAX_OBJECTS || (frame.length > 0 && size + more > MAX_FRAME)) {
        this.ws.send(frame.join('\n'));
        frame = [];
        size = 0;
      }
      frame.push(line);
      size += more;
    }
    if (frame.length > 0) this.ws.send(frame.join('\n'));
  }
}

/** No answer can come any more; it is unknown whether the request was carried out. */
export function disconnected(): Refused {
  return new Refused('disconnected', 'the connection was lost before an answer came');
}
