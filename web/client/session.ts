import { Refused } from './errors.ts';
import { call } from './http.ts';
import type { Keep } from './outbox.ts';
import type { Token } from './socket.ts';

/** Answer of POST /v1/session; times are Unix ms by the server's clock. */
export interface SessionAnswer {
  access: string;
  expires: number;
  refresh: string;
  person: string;
  role: string;
  org: number;
  name: string;
}

type Proof = { login: string; password: string } | { ticket: string } | { refresh: string };

/** Renew an access token that ends within this time. */
const MARGIN_MS = 60_000;

/**
 * An operator's sign-in. Which person a tab works as is kept for the tab
 * (`mine`); that person's tokens are kept for all tabs of the browser
 * (`shared`), because a refresh token can be spent once only: tabs take turns
 * and each reads what the last one wrote. Two operators in two tabs do not
 * disturb each other.
 */
export class Session {
  readonly #mine: Keep;
  readonly #shared: Keep;
  readonly #page: string;

  /** page names the page ("console"), so that pages do not sign each other in. */
  constructor(page: string, mine: Keep, shared: Keep) {
    this.#page = page;
    this.#mine = mine;
    this.#shared = shared;
  }

  /** Who is signed in here; undefined when nobody is. */
  get current(): SessionAnswer | undefined {
    const person = this.#mine.getItem(this.#key('person'));
    if (!person) return undefined;
    try {
      return JSON.parse(this.#shared.getItem(this.#key(person)) ?? 'null') ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** Signs in. Rejects with Refused. */
  async signIn(proof: Proof): Promise<SessionAnswer> {
    const answer = await call<SessionAnswer>('/v1/session', { body: proof });
    this.#mine.setItem(this.#key('person'), answer.person);
    this.#shared.setItem(this.#key(answer.person), JSON.stringify(answer));
    return answer;
  }

  /** Forgets the sign-in, here and in the other tabs of the same person. */
  forget(): void {
    const person = this.#mine.getItem(this.#key('person'));
    if (person) this.#shared.removeItem(this.#key(person));
    this.#mine.removeItem(this.#key('person'));
  }

  /** An access token that is good for a while, or for fresh one that is new. */
  async token(fresh = false): Promise<Token> {
    const before = this.current;
    if (!before) throw new Refused('unauthorized', 'please sign in');
    if (!fresh && before.expires - Date.now() > MARGIN_MS) {
      return { token: before.access, expires: before.expires };
    }
    return this.#alone(async () => {
      const now = this.current;
      if (!now) throw new Refused('unauthorized', 'please sign in');
      // Another tab was quicker: its token is as fresh as ours would be.
      if (now.access !== before.access) return { token: now.access, expires: now.expires };
      const answer = await this.signIn({ refresh: now.refresh });
      return { token: answer.access, expires: answer.expires };
    });
  }

  /** One tab at a time, where the browser can (it can on https and on localhost). */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    if (!globalThis.navigator?.locks) return work();
    return navigator.locks.request(this.#key('refresh'), work) as Promise<T>;
  }

  #key(part: string): string {
    return `switchboard.${this.#page}.${part}`;
  }
}

/** Answer of POST /v1/visitor. */
export interface VisitorAnswer {
  token: string;
  expires: number;
  visitor: string;
}

/** What a visitor said of themselves; display only. */
export interface About {
  name?: string;
  email?: string;
}

/** A visitor's identity with one organization, kept by the browser for 30 days after the last visit. */
export class VisitorSession {
  readonly #org: number;
  readonly #keep: Keep;

  constructor(org: number, keep: Keep) {
    this.#org = org;
    this.#keep = keep;
  }

  /** The token of an earlier visit, if there is one. */
  get current(): VisitorAnswer | undefined {
    try {
      return JSON.parse(this.#keep.getItem(this.#key()) ?? 'null') ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** Gets or renews the token. An earlier token that is refused is forgotten, and the visitor is new. */
  async begin(about: About = {}): Promise<VisitorAnswer> {
    const earlier = this.current?.token;
    const body = { org: this.#org, ...about, ...(earlier ? { token: earlier } : {}) };
    try {
      return this.#store(await call<VisitorAnswer>('/v1/visitor', { body }));
    } catch (err) {
      const refused = err instanceof Refused && ['unauthorized', 'expired', 'logged_out'].includes(err.code);
      if (!earlier || !refused) throw err;
      this.forget();
      return this.#store(await call<VisitorAnswer>('/v1/visitor', { body: { org: this.#org, ...about } }));
    }
  }

  async token(fresh = false): Promise<Token> {
    const current = this.current;
    if (current && !fresh && current.expires - Date.now() > MARGIN_MS) return current;
    return this.begin();
  }

  forget(): void {
    this.#keep.removeItem(this.#key());
  }

  #store(answer: VisitorAnswer): VisitorAnswer {
    this.#keep.setItem(this.#key(), JSON.stringify(answer));
    return answer;
  }

  #key(): string {
    return `switchboard.visitor.${this.#org}`;
  }
}
