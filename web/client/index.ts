/**
 * Switchboard's client library for browsers: no dependency, no framework.
 *
 * ```ts
 * const session = new VisitorSession(12, storage('local'));
 * const client = new Client({ url: socketURL(), token: (fresh) => session.token(fresh) });
 * client.state.subscribe((s) => render(s)); // everything there is to show
 * onWake(() => client.wake());
 * client.start();
 * const chat = await client.startChat({ team: 7, text: 'Hello', page: location.href });
 * client.send(chat, 'My invoice is wrong');
 * ```
 *
 * - frames, schema: the protocol's words, checked at run time;
 * - socket, pipe, backoff: one connection that stays;
 * - log, outbox, sender: no message lost, none twice, in order;
 * - state, store, marks, client: what to show and what can be done;
 * - guest: whether anybody is there, for a page that has nobody to speak for yet;
 * - session, http, browser: tokens, calls, and what only a browser has.
 *
 * Everything runs on one event loop; nothing here is shared between workers.
 */
export { Client, type ClientOptions, type Transfer } from './client.ts';
export { Guest, type GuestOptions } from './guest.ts';
export type { Opening } from './sender.ts';
export { Refused, sentence } from './errors.ts';
export { bytes, chatView, MAX_TEXT, noteView, type ChatInfo, type Colleague, type Message, type Note, type Operator, type Order, type Visitor } from './frames.ts';
export { call } from './http.ts';
export { onIdle, onWake, socketURL, storage } from './browser.ts';
export { Session, VisitorSession, type SessionAnswer } from './session.ts';
export type { LinkState } from './socket.ts';
export type { Chat, ClientState, Mark, OpenOffer } from './state.ts';
export { Store } from './store.ts';
export type { Draft } from './outbox.ts';
