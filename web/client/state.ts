import type { ChatInfo, Frame, Message, Note, Offer, Operator, Order, ServerFrame } from './frames.ts';
import type { Draft } from './outbox.ts';
import type { LinkState } from './socket.ts';

/** Somebody is typing in, or looking at, a chat until a time of the server's clock. */
export interface Mark {
  readonly person: string;
  readonly until: number;
  /** Typing that only colleagues see. */
  readonly private: boolean;
  /** Viewing: the chat is open there, but not looked at now. */
  readonly away: boolean;
  /** Typing: what a visitor has typed so far, where that is shown; masked. */
  readonly text: string;
}

/** A chat as a page shows it. */
export interface Chat {
  readonly info: ChatInfo;
  readonly messages: readonly Message[];
  /** Written here and not yet acknowledged; shown after messages. */
  readonly drafts: readonly Draft[];
  readonly typing: readonly Mark[];
  readonly viewing: readonly Mark[];
  /** What its operators say to each other; no visitor gets any. */
  readonly notes: readonly Note[];
}

/** An offer and when it ends by the server's clock. */
export interface OpenOffer extends Offer {
  readonly until: number;
}

/** Everything a page can show, replaced as a whole at every change. */
export interface ClientState {
  readonly link: LinkState;
  readonly me: { person: string; role: string; org: number; name: string } | undefined;
  /** Statuses that may be chosen. */
  readonly statuses: readonly string[];
  readonly self: Operator | undefined;
  /** A page that is not used for so long, in ms, says that it is idle; 0: never. */
  readonly idleMs: number;
  readonly chats: ReadonlyMap<number, Chat>;
  readonly offers: ReadonlyMap<number, OpenOffer>;
  /** The last offer that ended other than by our own answer, and why. */
  readonly gone: Frame<'offer.gone'> | undefined;
  /** The last chat that ceased to be ours although it goes on, and the last invite of ours that ended. */
  readonly parted: Frame<'chat.gone'> | undefined;
  readonly uninvited: Frame<'invite.gone'> | undefined;
  /** Operators of the organization, while they are watched. */
  readonly operators: ReadonlyMap<number, Operator>;
  /** Number of waiting chats, while the queue is watched. */
  readonly queue: number | undefined;
  /** Logout orders, while a supervisor watches them. */
  readonly orders: ReadonlyMap<number, Order>;
  /** The last operators who were lost with chats, newest first, while a supervisor watches. */
  readonly losses: readonly Frame<'lost'>[];
  readonly leaving: Frame<'leaving'> | undefined;
  readonly loggedOut: Frame<'logout'> | undefined;
  /** What a visitor types is shown to operators before it is sent. */
  readonly preview: boolean;
  /** Whether anybody of the watched team answers now; undefined until that is known. */
  readonly open: boolean | undefined;
  /** The desk's store is away: what is shown is from memory, nothing can be sent. */
  readonly degraded: boolean;
}

export const initial: ClientState = {
  link: { at: 'idle' },
  me: undefined,
  statuses: [],
  self: undefined,
  idleMs: 0,
  chats: new Map(),
  offers: new Map(),
  gone: undefined,
  parted: undefined,
  uninvited: undefined,
  operators: new Map(),
  queue: undefined,
  orders: new Map(),
  losses: [],
  leaving: undefined,
  loggedOut: undefined,
  preview: false,
  open: undefined,
  degraded: false,
};

/** Finished chats that stay visible; older ones leave the state. */
const CLOSED_KEPT = 20;

/**
 * What a frame makes of the state. Pure; message logs, drafts and requests are
 * Client's. now is the server's clock, Unix ms.
 */
export function reduce(s: ClientState, frame: ServerFrame, now: number): ClientState {
  switch (frame.t) {
    case 'ready':
      return ready(s, frame, now);
    case 'self': {
      const { t: _t, re: _re, ...self } = frame;
      return { ...s, self, leaving: self.leaving ? (s.leaving ?? { t: 'leaving' }) : undefined };
    }
    case 'chat': {
      const { re: _re, ...info } = frame;
      // An offer became a chat; who takes part in it may be asked for more, and still is.
      const asked = frame.invites?.some((one) => `o${one.id}` === s.me?.person) === true;
      return putChat(asked ? s : { ...s, offers: without(s.offers, frame.chat) }, info);
    }
    case 'resumed': {
      const chat = s.chats.get(frame.chat);
      const state = frame.state as ChatInfo['state'] | undefined;
      if (!state) return s;
      // A visitor's waiting chat may be offered behind the scenes; the chat frame decides.
      if (chat && (state !== 'closed' || chat.info.state === 'closed')) return s;
      return putChat(s, { ...chat?.info, chat: frame.chat, state });
    }
    case 'offer':
      return { ...s, offers: withEntry(s.offers, frame.chat, { ...frame, until: now + frame.ttl_ms }) };
    case 'offer.gone':
      return { ...s, offers: without(s.offers, frame.chat), gone: frame };
    case 'chat.gone':
      return { ...s, chats: without(s.chats, frame.chat), parted: frame };
    case 'invite.gone':
      return { ...s, uninvited: frame };
    case 'note': {
      const { t: _t, ...note } = frame;
      return addNotes(s, frame.chat, [note]);
    }
    case 'presence': {
      const operators = new Map(frame.full ? [] : s.operators);
      for (const each of frame.operators) operators.set(each.id, each);
      for (const id of frame.gone ?? []) operators.delete(id);
      return { ...s, operators };
    }
    case 'availability':
      return { ...s, open: frame.open };
    case 'logouts': {
      const orders = new Map(frame.full ? [] : s.orders);
      for (const each of frame.orders) orders.set(each.id, each);
      return { ...s, orders };
    }
    case 'lost':
      return { ...s, losses: [frame, ...s.losses].slice(0, 20) };
    case 'queue':
      return { ...s, queue: frame.waiting };
    case 'typing':
      return mark(s, 'typing', frame, now);
    case 'viewing':
      return mark(s, 'viewing', frame, now);
    case 'degraded':
      return { ...s, degraded: frame.on };
    case 'leaving':
      return { ...s, leaving: frame };
    case 'logout':
      return { ...s, loggedOut: frame, leaving: undefined, offers: new Map() };
    default:
      return s;
  }
}

function ready(s: ClientState, frame: Frame<'ready'>, now: number): ClientState {
  const next: ClientState = {
    ...s,
    me: { person: frame.person, role: frame.role, org: frame.org, name: frame.name ?? '' },
    statuses: frame.statuses,
    self: frame.self,
    idleMs: frame.idle_ms ?? 0,
    offers: new Map(frame.offers.map((o) => [o.chat, { ...o, until: now + o.ttl_ms }])),
    leaving: frame.self?.leaving ? (s.leaving ?? { t: 'leaving' }) : undefined,
    loggedOut: undefined,
    preview: frame.preview === true,
    degraded: false, // a node whose store is away answers no hello
  };
  // ready lists every open chat: what we thought open and is not there has ended while we were away.
  const chats = new Map(next.chats);
  const open = new Set(frame.chats.map((c) => c.chat));
  for (const [id, chat] of chats) {
    const typing: Mark[] = [];
    const info: ChatInfo = open.has(id) ? chat.info : { ...chat.info, state: 'closed' };
    chats.set(id, { ...chat, info, typing, viewing: typing });
  }
  return frame.chats.reduce(putChat, { ...next, chats });
}

function putChat(s: ClientState, info: ChatInfo): ClientState {
  const before = s.chats.get(info.chat);
  // A frame leaves out what does not change; visitor and operator outlive the close.
  const merged: ChatInfo = { ...before?.info, ...info };
  if (info.state !== 'waiting') {
    delete merged.place;
    delete merged.wait_ms;
  }
  if (info.opens === undefined) delete merged.opens;
  if (info.still === undefined) delete merged.still;
  if (info.silent === undefined) delete merged.silent;
  // Who is in a chat is always told whole.
  for (const field of ['with', 'invites', 'role'] as const) if (info[field] === undefined) delete merged[field];
  if (info.state === 'waiting') delete merged.operator;
  const closed = info.state === 'closed';
  const chat: Chat = {
    messages: before?.messages ?? [],
    drafts: before?.drafts ?? [],
    notes: before?.notes ?? [],
    // Whoever typed for a chat that is over, or goes to somebody else, does so no more.
    typing: info.state === 'active' ? (before?.typing ?? []) : [],
    viewing: closed ? [] : (before?.viewing ?? []),
    info: merged,
  };
  const chats = new Map(s.chats).set(info.chat, chat);
  const over = [...chats.values()].filter((c) => c.info.state === 'closed');
  for (const old of over.slice(0, -CLOSED_KEPT)) chats.delete(old.info.chat);
  return { ...s, chats };
}

function mark(
  s: ClientState,
  kind: 'typing' | 'viewing',
  frame: Frame<'typing'> | Frame<'viewing'>,
  now: number,
): ClientState {
  if (frame.from === s.me?.person) return s; // another tab of ours
  return patchChat(s, frame.chat, (chat) => {
    const before = chat[kind].find((m) => m.person === frame.from);
    const marks = chat[kind].filter((m) => m.person !== frame.from);
    if (frame.on) {
      marks.push({
        person: frame.from,
        until: now + (frame.ttl_ms ?? 6_000),
        private: 'private' in frame && frame.private === true,
        away: 'away' in frame && frame.away === true,
        text: ('text' in frame && frame.text) || before?.text || '',
      });
    }
    return { ...chat, [kind]: marks };
  });
}

/** Adds notes that are not there yet, in order. */
export function addNotes(s: ClientState, chat: number, notes: readonly Note[]): ClientState {
  return patchChat(s, chat, (c) => {
    const fresh = notes.filter((n) => !c.notes.some((o) => o.from === n.from && o.cmid === n.cmid));
    if (fresh.length === 0) return c;
    return { ...c, notes: [...c.notes, ...fresh].sort((a, b) => a.at - b.at || a.seq - b.seq) };
  });
}

/** Changes one chat if it is known. */
export function patchChat(s: ClientState, id: number, change: (chat: Chat) => Chat): ClientState {
  const chat = s.chats.get(id);
  if (!chat) return s;
  const next = change(chat);
  return next === chat ? s : { ...s, chats: new Map(s.chats).set(id, next) };
}

/** Removes marks that have run out, and says when the next one will (0: none). */
export function expire(s: ClientState, now: number): { state: ClientState; next: number } {
  let next = 0;
  let state = s;
  for (const chat of s.chats.values()) {
    const live = (m: Mark) => m.until > now;
    if (!chat.typing.every(live) || !chat.viewing.every(live)) {
      state = patchChat(state, chat.info.chat, (c) => ({
        ...c,
        typing: c.typing.filter(live),
        viewing: c.viewing.filter(live),
      }));
    }
    for (const m of [...chat.typing, ...chat.viewing]) {
      if (live(m) && (next === 0 || m.until < next)) next = m.until;
    }
  }
  return { state, next };
}

function withEntry<V>(map: ReadonlyMap<number, V>, key: number, value: V): Map<number, V> {
  return new Map(map).set(key, value);
}

function without<V>(map: ReadonlyMap<number, V>, key: number): ReadonlyMap<number, V> {
  if (!map.has(key)) return map;
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}
