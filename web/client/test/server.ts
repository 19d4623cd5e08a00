import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Message } from '../frames.ts';

type Any = Record<string, any>;

/** What the fake does with one message: in which order it stores, answers and breaks. */
export type Fault = 'none' | 'drop before' | 'drop after' | 'busy' | 'echo twice' | 'skip echo';

/**
 * A server of one chat in memory that keeps the protocol's promises, and breaks
 * the connection where a test asks for it.
 */
export class FakeServer {
  readonly log: Message[] = [];
  readonly hellos: Any[] = [];
  readonly received: Any[] = [];
  readonly sockets = new Set<WebSocket>();
  ready: Any = {};
  closed = false;
  gen = 1;
  /** Called for every message frame. */
  fault: () => Fault = () => 'none';
  /** Answers hello instead of ready when it returns something. */
  refuse: () => { frame?: Any; code: number } | undefined = () => undefined;
  silent = false;
  busy = false;
  #wss: WebSocketServer;

  private constructor(wss: WebSocketServer) {
    this.#wss = wss;
    wss.on('connection', (ws) => {
      this.sockets.add(ws);
      ws.on('close', () => this.sockets.delete(ws));
      ws.on('message', (data) => {
        for (const line of String(data).split('\n')) this.#take(ws, JSON.parse(line));
      });
    });
  }

  static async start(): Promise<FakeServer> {
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(wss, 'listening');
    return new FakeServer(wss);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#wss.address() as AddressInfo).port}/ws`;
  }

  async stop(): Promise<void> {
    for (const ws of this.#wss.clients) ws.terminate();
    await new Promise((done) => this.#wss.close(done));
  }

  /** Cuts every connection without a close frame. */
  cut(): void {
    for (const ws of this.sockets) ws.terminate();
  }

  close(code: number): void {
    for (const ws of this.sockets) ws.close(code);
  }

  send(frame: Any): void {
    for (const ws of this.sockets) this.to(ws, frame);
  }

  to(ws: WebSocket, frame: Any): void {
    if (!this.silent) ws.send(JSON.stringify(frame));
  }

  /** Stores a message of the other side; live: also sends it. */
  say(text: string, live = true): void {
    const message = this.#store('o310', `op-${this.log.length}`, text);
    if (live) this.send({ t: 'message', ...message });
  }

  #store(from: string, cmid: string, text: string): Message {
    const seq = this.log.length + 1;
    const message = { chat: 7, pos: `${seq}-${this.gen}`, seq, at: Date.now(), from, cmid, text };
    this.log.push(message);
    return message;
  }

  #take(ws: WebSocket, frame: Any): void {
    this.received.push(frame);
    const re = frame.re;
    switch (frame.t) {
      case 'hello': {
        this.hellos.push(frame);
        const no = this.refuse();
        if (no) {
          if (no.frame) this.to(ws, no.frame);
          ws.close(no.code);
          return;
        }
        const now = Date.now();
        this.to(ws, {
          t: 'ready', person: 'v1', role: 'visitor', org: 12, node: '1', now, ping_ms: 8000, timeout_ms: 18000,
          typing_ms: 6000, expires: now + 3_600_000,
          chats: this.closed ? [] : [{ chat: 7, state: 'active', operator: { id: 310, name: 'Ines' } }],
          ...this.ready,
        });
        const known = (frame.chats ?? []).find((c: Any) => c.chat === 7);
        this.#resumed(ws, known?.pos ?? '');
        return;
      }
      case 'auth':
        return this.to(ws, { t: 'ok', re });
      case 'resume':
        for (const c of frame.chats) this.#resumed(ws, c.pos, re);
        return;
      case 'chat.start':
        if (this.log.length === 0 && frame.text) this.#store('v1', frame.cmid, frame.text);
        return this.to(ws, { t: 'chat', re, chat: 7, state: 'active' });
      case 'signout':
        if (this.busy) return this.to(ws, { t: 'error', re, code: 'conflict', message: 'there is open work' });
        this.to(ws, { t: 'logout', reason: 'signed out' });
        return ws.close(4003);
      case 'note':
        if (this.fault() === 'drop after') return ws.terminate();
        return this.to(ws, { t: 'ok', re, seq: 1, at: Date.now() });
      case 'message':
        return this.#message(ws, frame);
    }
  }

  #resumed(ws: WebSocket, pos: string, re?: string): void {
    const at = pos === '' ? 0 : this.log.findIndex((m) => m.pos === pos) + 1;
    const ok = pos === '' || at > 0;
    const messages = ok ? this.log.slice(at) : this.log;
    this.to(ws, {
      t: 'resumed', re, chat: 7, ok, messages, pos: this.log.at(-1)?.pos ?? '', state: this.closed ? 'closed' : 'active',
    });
  }

  #message(ws: WebSocket, frame: Any): void {
    const { re, cmid, chat } = frame;
    const fault = this.fault();
    if (fault === 'drop before') return ws.terminate();
    if (fault === 'busy') return this.to(ws, { t: 'error', re, code: 'unavailable', message: 'busy', retry_ms: 3 });
    if (this.closed) return this.to(ws, { t: 'error', re, code: 'closed', message: 'the chat is over' });
    if (frame.seen !== undefined && this.log.some((m) => m.seq > frame.seen && m.from.startsWith('o'))) {
      return this.to(ws, { t: 'error', re, code: 'conflict', field: 'seen', message: 'others wrote since' });
    }
    let message = this.log.find((m) => m.cmid === cmid && m.from === 'v1');
    const repeat = message !== undefined;
    message ??= this.#store('v1', cmid, frame.text);
    if (fault === 'drop after') return ws.terminate();
    this.to(ws, { t: 'ack', re, chat, cmid, pos: message.pos, seq: message.seq, at: message.at });
    if (repeat || fault === 'skip echo') return;
    this.send({ t: 'message', ...message });
    if (fault === 'echo twice') this.send({ t: 'message', ...message });
  }
}
