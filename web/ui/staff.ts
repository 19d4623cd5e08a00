import { Client, onIdle, onWake, sentence, Session, socketURL, storage, type ClientState, type SessionAnswer } from '../client/index.ts';
import { h, setText, show } from './dom.ts';

/** A page for people who work at the desk. */
export interface StaffPage {
  /** Short name, in the address and in storage. */
  page: 'console' | 'supervisor';
  title: string;
  watch: string[];
  /** Why this person may not use the page; "" when they may. */
  refuse(me: SessionAnswer): string;
  /** Builds the page around a client that is about to start. */
  open(client: Client, session: Session): { element: HTMLElement; stop(): void };
}

/** Signs a person in, by ticket or by password, shows the page, and says why it ended. */
export class Staff {
  readonly #page: StaffPage;
  readonly #session: Session;
  readonly #root: HTMLElement;

  constructor(page: StaffPage, root: HTMLElement) {
    this.#page = page;
    this.#root = root;
    this.#session = new Session(page.page, storage('session'), storage('local'));
  }

  async start(): Promise<void> {
    const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket');
    if (ticket) {
      // Out of the address bar and the history before anything else: it is spent now.
      history.replaceState(null, '', location.pathname + location.search);
      this.#session.forget();
      try {
        return this.#enter(await this.#session.signIn({ ticket }));
      } catch (err) {
        return this.#signIn(`This link does not work any more. ${sentence(err)}`);
      }
    }
    const current = this.#session.current;
    if (current) this.#enter(current);
    else this.#signIn('');
  }

  #enter(me: SessionAnswer): void {
    const no = this.#page.refuse(me);
    if (no !== '') {
      this.#session.forget();
      return this.#signIn(no);
    }
    const client = new Client({
      url: socketURL(),
      token: (fresh) => this.#session.token(fresh),
      watch: this.#page.watch,
      keep: storage('session'),
      keepKey: `switchboard.outbox.${me.person}`,
      fault: (err) => console.warn('switchboard:', err.message),
    });
    const view = this.#page.open(client, this.#session);
    const deaf = onWake(() => client.wake());
    const unwatched = onIdle(() => client.state.get().idleMs, (idle) => client.idle(idle));
    this.#root.replaceChildren(view.element);
    const off = client.state.subscribe((s) => {
      if (s.link.at !== 'stopped' || s.link.why === 'left' || s.link.why === 'protocol') return;
      queueMicrotask(() => off());
      deaf();
      unwatched();
      view.stop();
      client.stop();
      this.#session.forget();
      this.#signedOut(s);
    });
    client.start();
  }

  #signedOut(s: ClientState): void {
    const ordered = (s.loggedOut?.order ?? 0) > 0;
    const reason = s.loggedOut?.reason ?? '';
    const heading = h('h1', { attr: { tabindex: '-1' } }, ordered ? 'You were signed out' : 'You are signed out');
    const why = s.loggedOut ? 'See you next time.' : 'Your sign-in has ended. Please sign in again.';
    document.title = `Signed out · ${this.#page.title}`;
    this.#root.replaceChildren(card(
      heading,
      h('p', { class: 'muted' }, ordered ? 'A supervisor has ended your session. Finished chats are saved.' : why),
      reason !== '' && h('dl', { class: 'reason' }, h('dt', {}, 'Reason'), h('dd', {}, reason)),
      h('button', { class: 'button primary wide', attr: { type: 'button' }, on: { click: () => this.#signIn('') } }, 'Sign in again'),
    ));
    heading.focus();
  }

  #signIn(problem: string): void {
    document.title = `Sign in · ${this.#page.title}`;
    const login = h('input', { class: 'input', required: true, attr: { autocomplete: 'username', name: 'login' } });
    const password = h('input', { class: 'input', required: true, attr: { type: 'password', autocomplete: 'current-password', name: 'password' } });
    const error = h('p', { class: 'notice bad box', hidden: problem === '', attr: { role: 'alert' } }, problem);
    const button = h('button', { class: 'button primary wide', attr: { type: 'submit' } }, 'Sign in');
    const form = h('form', {
      class: 'signin',
      on: {
        submit: (event) => {
          event.preventDefault();
          button.disabled = true;
          this.#session.signIn({ login: login.value.trim(), password: password.value }).then(
            (me) => this.#enter(me),
            (err: unknown) => {
              button.disabled = false;
              setText(error, sentence(err));
              show(error, true);
              password.select();
            },
          );
        },
      },
    },
    h('label', { class: 'field' }, h('span', {}, 'Login'), login),
    h('label', { class: 'field' }, h('span', {}, 'Password'), password),
    error, button);
    this.#root.replaceChildren(card(h('h1', {}, this.#page.title), h('p', { class: 'muted' }, 'Sign in to continue.'), form));
    login.focus();
  }
}

function card(...children: (Node | string | false)[]): HTMLElement {
  const mark = h('img', { class: 'mark', attr: { src: '/assets/icon.svg', alt: 'Switchboard', width: '44', height: '44' } });
  return h('main', { class: 'centre' }, h('div', { class: 'card' }, mark, ...children));
}
