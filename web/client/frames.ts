/**
 * The frames of the socket protocol, version 1 (docs/protocol.md).
 *
 * testdata/frames/*.json holds one golden example of every kind; a test decodes
 * each of them with the shapes below and demands that nothing is left over, so
 * these definitions, the Go ones and the document stay the same.
 */
import { flag, integer, list, object, oneOf, optional, text, type Of } from './schema.ts';

/** The longest text of one message, in bytes of UTF-8. */
export const MAX_TEXT = 8 << 10;
/** The largest frame a client may send, in bytes. */
export const MAX_FRAME = 32 << 10;
/** The largest number of objects in one client frame. */
export const MAX_OBJECTS = 64;

/** Close codes of the socket; below 4000 they are RFC 6455's own. */
export const Close = {
  badText: 1007,
  tooBig: 1009,
  tryLater: 1013,
  protocol: 4000,
  expired: 4001,
  loggedOut: 4003,
  slow: 4008,
  positionLost: 4010,
  moving: 4012,
  tooFast: 4029,
} as const;

const visitor = object({
  id: text,
  name: optional(text),
  email: optional(text),
  page: optional(text),
});
const colleague = object({
  id: integer,
  name: text,
  role: optional(text), // to operators
  away: optional(flag), // has lost the connection and is waited for
});
const position = object({ chat: integer, pos: text });
const need = object({ skill: text, level: optional(integer), preferred: optional(flag) });

const stored = {
  chat: integer,
  pos: text, // "<seq>-<gen>"
  seq: integer, // 1, 2, 3 ... without gaps within the chat
  at: integer, // Unix ms by the store's clock
  from: text, // "o310", "vk3abc", or "s": the desk itself
  name: optional(text),
  cmid: text,
  text: text,
};
const chat = {
  chat: integer,
  state: oneOf('waiting', 'offered', 'active', 'closed'),
  team: optional(integer),
  visitor: optional(visitor), // operators only
  operator: optional(colleague),
  place: optional(integer), // 1 is next; while waiting
  opens: optional(integer), // Unix ms: it waits for its team to open, where that is known
  wait_ms: optional(integer), // while waiting: perhaps so long until its turn; -1: unknown
  since: optional(integer),
  pos: optional(text), // of the last message
  here: optional(flag), // operators only: is the visitor connected
  reason: optional(text),
  silent: optional(flag), // operators only: its visitor is silent, it takes no units
  still: optional(integer), // Unix ms: say chat.here until then, or nobody is asked
  with: optional(list(colleague)), // who takes part besides operator; to a visitor whom they see
  invites: optional(list(colleague)), // operators only: who is asked to, or (hold) to take it over
  role: optional(text), // an operator who does not hold it: join, consult or monitor
};
const offer = {
  chat: integer,
  token: text,
  ttl_ms: integer,
  team: integer,
  waited_ms: integer,
  visitor: optional(visitor),
  role: optional(text), // of an invite to a colleague's chat: hold, join or consult
  from: optional(colleague), // who asks
  text: optional(text), // what that one says
};
const note = {
  chat: integer,
  seq: integer, // of the chat's notes
  at: integer,
  from: text,
  name: optional(text),
  cmid: text,
  text: text,
};
/** A note as GET /v1/chats/{id}/notes answers it. */
export const noteView = object({ t: optional(text), ...note });
/** A chat of an operator as GET /v1/operators/{id}/chats answers it. */
export const chatView = object({ t: optional(text), ...chat });
const operator = {
  id: integer,
  name: text,
  role: oneOf('operator', 'supervisor', 'admin', 'visitor'),
  account: integer,
  teams: optional(list(integer)),
  status: text, // outward: computed from link, intent and work
  intent: text, // what the operator chose
  since: integer, // when status became what it is, Unix ms
  version: integer,
  chats: integer,
  calls: integer,
  offers: integer,
  others: optional(integer), // pieces of outside work
  takes: optional(flag), // is here and takes chats, now or after those held
  here: flag, // holds a socket now; false within grace
  leaving: optional(flag),
  source: optional(text), // who set intent: operator, supervisor or system
  reason: optional(text), // of intent
  until: optional(integer), // when intent ends by itself, Unix ms
  next: optional(text), // pending: the intent after the last chat or call
};

const who = object({ agents: optional(list(integer)), teams: optional(list(integer)), networks: optional(list(text)) });
const order = {
  id: integer,
  state: oneOf('scheduled', 'created', 'processing', 'completed', 'standing', 'cancelled'),
  asked: optional(integer), // Unix ms
  by: optional(text),
  total: integer,
  todo: integer,
  out: integer,
  leaving: integer,
  offline: integer,
  cancelled: integer,
  agents: optional(list(integer)),
  teams: optional(list(integer)),
  networks: optional(list(text)),
  except: optional(who),
  match: optional(text),
  connections: optional(text),
  mode: optional(text),
  deadline_ms: optional(integer),
  fence_ms: optional(integer),
  at: optional(integer),
  standing: optional(flag),
  dry_run: optional(flag),
  confirm: optional(flag),
  reason: optional(text),
};
/** One logout order as supervisors see it. */
export const orderView = object(order);

/** One operator as a board shows it. */
export const operatorView = object(operator);
const plainChat = object({ t: optional(text), ...chat });
const plainOffer = object({ t: optional(text), ...offer });

/** What the server sends, by kind. Unknown kinds are ignored. */
export const fromServer = {
  ready: object({
    t: oneOf('ready'),
    person: text,
    role: oneOf('operator', 'supervisor', 'admin', 'visitor', 'guest'),
    org: integer,
    name: optional(text),
    node: text,
    now: integer,
    ping_ms: integer,
    timeout_ms: integer,
    typing_ms: integer,
    expires: integer,
    idle_ms: optional(integer), // a page that is not used for so long says idle; missing: never
    preview: optional(flag), // what a visitor types is shown before it is sent
    statuses: list(text), // operators only; empty for visitors, as are the two below
    self: optional(operatorView),
    chats: list(plainChat),
    offers: list(plainOffer),
  }),
  ping: object({ t: oneOf('ping'), spread_ms: optional(integer) }),
  ok: object({
    t: oneOf('ok'),
    re: optional(text),
    latched: optional(flag),
    outcome: optional(text), // of a transfer: asked, moved, offered or queued
    place: optional(integer), // in the queue
    seq: optional(integer), // of a note
    at: optional(integer),
  }),
  error: object({
    t: oneOf('error'),
    re: optional(text),
    code: text,
    message: text,
    field: optional(text),
    retry_ms: optional(integer),
    cmid: optional(text),
    chat: optional(integer),
  }),
  ack: object({
    t: oneOf('ack'),
    re: optional(text),
    chat: integer,
    cmid: text,
    pos: text,
    seq: integer,
    at: integer,
  }),
  message: object({ t: oneOf('message'), ...stored }),
  resumed: object({
    t: oneOf('resumed'),
    re: optional(text),
    chat: integer,
    ok: flag,
    messages: list(object(stored)),
    pos: optional(text), // missing for a chat without messages
    state: optional(text),
  }),
  chat: object({ t: oneOf('chat'), re: optional(text), ...chat }),
  offer: object({ t: oneOf('offer'), ...offer }),
  'offer.gone': object({ t: oneOf('offer.gone'), chat: integer, reason: text }),
  'chat.gone': object({ t: oneOf('chat.gone'), chat: integer, state: optional(text), reason: text }), // no longer theirs
  'invite.gone': object({ t: oneOf('invite.gone'), chat: integer, operator: colleague, role: text, reason: text }),
  note: object({ t: oneOf('note'), ...note }), // operators only
  self: object({ t: oneOf('self'), re: optional(text), ...operator }),
  pending: object({
    t: oneOf('pending'),
    event: oneOf('set', 'replaced', 'cancelled', 'applied'),
    status: text,
    by: optional(text), // who: a person; missing or empty is the system
  }),
  presence: object({
    t: oneOf('presence'),
    re: optional(text),
    full: optional(flag),
    more: optional(flag), // further objects belong to the same snapshot
    age_ms: optional(integer), // of a snapshot while the store is away
    operators: list(operatorView),
    gone: optional(list(integer)), // left what is watched, or deleted
  }),
  availability: object({ t: oneOf('availability'), team: integer, open: flag }),
  queue: object({ t: oneOf('queue'), waiting: integer }),
  typing: object({
    t: oneOf('typing'),
    chat: integer,
    from: text,
    on: optional(flag), // missing is false
    ttl_ms: optional(integer),
    private: optional(flag),
    text: optional(text), // what a visitor has typed so far; masked, never stored
  }),
  viewing: object({
    t: oneOf('viewing'),
    chat: integer,
    from: text,
    on: optional(flag),
    ttl_ms: optional(integer),
    away: optional(flag), // open, but not looked at now
  }),
  leaving: object({
    t: oneOf('leaving'),
    order: optional(integer),
    reason: optional(text),
    chats: optional(integer),
    calls: optional(integer),
    others: optional(integer),
    within_ms: optional(integer), // then the chats go to others and the operator is out
  }),
  logout: object({
    t: oneOf('logout'),
    order: optional(integer),
    reason: optional(text),
    back_ms: optional(integer), // for how long a new sign-in is refused
  }),
  logouts: object({ t: oneOf('logouts'), full: optional(flag), orders: list(orderView) }), // supervisors
  lost: object({
    t: oneOf('lost'), // supervisors: an operator is gone for longer than the grace
    operator: colleague,
    at: integer,
    chats: list(object({ chat: integer, team: integer, then: text, to: optional(integer) })),
  }),
  moving: object({ t: oneOf('moving'), in_ms: integer }),
  gap: object({ t: oneOf('gap'), chats: optional(list(integer)) }),
  degraded: object({ t: oneOf('degraded'), on: flag }),
};

const re = { re: optional(text) };

/** What a client sends, by golden file name. */
export const fromClient = {
  hello: object({
    t: oneOf('hello'),
    v: integer,
    token: optional(text), // a guest has none, and names org
    org: optional(integer),
    chats: optional(list(position)),
    watch: optional(list(text)),
    idle: optional(flag), // the page is not in use
    team: optional(integer), // of watch
    operators: optional(list(integer)), // of watch: those on the screen
  }),
  auth: object({ t: oneOf('auth'), ...re, token: text }),
  pong: object({ t: oneOf('pong') }),
  signout: object({ t: oneOf('signout'), ...re, when: optional(oneOf('now', 'drain', 'handover', 'stay')) }),
  status: object({
    t: oneOf('status'),
    ...re,
    status: optional(text), // missing with cancel and return
    version: optional(integer),
    when: optional(oneOf('now', 'after_work', 'cancel', 'return')),
    for_ms: optional(integer), // temporary
    operator: optional(integer), // another's, by a supervisor
    reason: optional(text),
  }),
  idle: object({ t: oneOf('idle'), ...re, on: flag }),
  'chat.start': object({
    t: oneOf('chat.start'),
    ...re,
    cmid: text,
    team: optional(integer),
    text: optional(text),
    page: optional(text),
    language: optional(text),
    skills: optional(list(need)),
  }),
  'chat.here': object({ t: oneOf('chat.here'), ...re, chat: integer }),
  'chat.claim': object({ t: oneOf('chat.claim'), ...re, chat: integer, over: optional(flag) }),
  'chat.transfer': object({
    t: oneOf('chat.transfer'),
    ...re,
    chat: integer,
    operator: optional(integer), // missing: to the team
    to_team: optional(integer), // missing: the chat's own
    over: optional(flag),
    queue: optional(flag), // whether or not anybody answers there
    text: optional(text),
  }),
  'chat.invite': object({
    t: oneOf('chat.invite'),
    ...re,
    chat: integer,
    operator: integer,
    role: oneOf('consult', 'join'),
    text: optional(text),
  }),
  'chat.join': object({ t: oneOf('chat.join'), ...re, chat: integer, role: oneOf('monitor', 'join', 'hold') }),
  'chat.part': object({ t: oneOf('chat.part'), ...re, chat: integer, operator: optional(integer) }),
  'note.send': object({ t: oneOf('note'), ...re, chat: integer, cmid: text, text: text }),
  'offer.accept': object({ t: oneOf('offer.accept'), ...re, chat: integer, token: text }),
  'offer.decline': object({ t: oneOf('offer.decline'), ...re, chat: integer, token: text }),
  'message.send': object({
    t: oneOf('message'),
    ...re,
    chat: integer,
    cmid: text,
    text: text,
    seen: optional(integer), // operators: the last seq that the author has seen
  }),
  'typing.send': object({
    t: oneOf('typing'),
    chat: integer,
    on: flag,
    private: optional(flag),
    text: optional(text),
  }),
  'viewing.send': object({ t: oneOf('viewing'), chat: integer, on: flag, away: optional(flag) }),
  'chat.close': object({ t: oneOf('chat.close'), ...re, chat: integer }),
  'call.start': object({ t: oneOf('call.start'), ...re, call: text }),
  'call.renew': object({ t: oneOf('call.renew'), ...re, call: text }),
  'call.end': object({ t: oneOf('call.end'), ...re, call: text }),
  watch: object({
    t: oneOf('watch'),
    ...re,
    watch: list(text),
    team: optional(integer),
    operators: optional(list(integer)),
  }),
  resume: object({ t: oneOf('resume'), ...re, chats: list(position) }),
};

type Values<T> = T[keyof T];
/** Any frame of the server. */
export type ServerFrame = Values<{ [K in keyof typeof fromServer]: Of<(typeof fromServer)[K]> }>;
/** Any frame of a client. */
export type ClientFrame = Values<{ [K in keyof typeof fromClient]: Of<(typeof fromClient)[K]> }>;
/** The frame of one kind. */
export type Frame<K extends keyof typeof fromServer> = Of<(typeof fromServer)[K]>;

export type Operator = Of<typeof operatorView>;
export type Visitor = Of<typeof visitor>;
export type ChatInfo = Of<typeof plainChat>;
export type Order = Of<typeof orderView>;
export type Offer = Of<typeof plainOffer>;
export type Note = Of<typeof noteView>;
export type Colleague = Of<typeof colleague>;
/** One stored message of a chat. */
export type Message = Omit<Frame<'message'>, 't'>;
/** A chat and the id of the last message known of it; "" is the beginning. */
export type Position = Of<typeof position>;

/**
 * Reads one WebSocket message: objects separated by newlines, in order. Unknown
 * kinds are skipped. What is malformed goes to fault and does not take its
 * neighbours with it.
 */
export function decode(frame: string, fault: (err: Error) => void): ServerFrame[] {
  const out: ServerFrame[] = [];
  for (const line of frame.split('\n')) {
    if (line.trim() === '') continue;
    try {
      const value: unknown = JSON.parse(line);
      const kind = (value as { t?: unknown } | null)?.t;
      if (typeof kind !== 'string' || !Object.hasOwn(fromServer, kind)) continue;
      const shape = fromServer[kind as keyof typeof fromServer];
      out.push(shape(value, kind) as ServerFrame);
    } catch (err) {
      fault(err instanceof TypeError ? err : new TypeError('a frame was not JSON'));
    }
  }
  return out;
}

/** The size of a text in bytes of UTF-8, which is what the limits count. */
export function bytes(of: string): number {
  return new TextEncoder().encode(of).length;
}
