import { Refused, sentence } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';
import { moment } from '../ui/words.ts';

/** What a chat that was started now would meet. */
export interface Door {
  /** serve: somebody answers or will; hold: it waits for the opening; form: leave a message. */
  answer: string;
  /** Unix ms of the next opening, while closed and where it is known. */
  opens?: number;
}

export interface Team extends Door {
  id: number;
  name: string;
}

/** What the visitor filled in. */
export interface Asked {
  name: string;
  email: string;
  team: number;
  text: string;
}

/** What the form does with it; both reject with an error for people. */
export interface Doing {
  start(asked: Asked): Promise<void>;
  leave(asked: Asked): Promise<void>;
}

/**
 * The form before a chat: who asks, and what. While nobody answers it takes a
 * message instead, and then needs an e-mail address.
 */
export class StartForm {
  readonly element: HTMLFormElement;
  readonly #doing: Doing;
  readonly #team: number;
  #teams: Team[];
  #everyone: Door;
  #refused = false; // a chat was refused although the door looked open
  #busy = false;
  #left = false; // a message was left
  readonly #title = h('h1');
  readonly #lead = h('p', { class: 'muted' });
  readonly #button = h('button', { class: 'button primary wide', attr: { type: 'submit' } });
  readonly #error = h('p', { class: 'notice bad box', hidden: true, attr: { role: 'alert' } });
  readonly #thanks = h('p', { class: 'notice box', hidden: true, attr: { role: 'status' } }, 'Thank you! Your message has arrived. We will answer by e-mail.');
  readonly #optional = h('small', {}, '(optional)');
  readonly #name = h('input', { class: 'input', attr: { autocomplete: 'name', maxlength: '80' } });
  readonly #email = h('input', { class: 'input', attr: { type: 'email', autocomplete: 'email', maxlength: '120' } });
  readonly #choice: HTMLSelectElement | undefined;
  readonly #text = h('textarea', {
    class: 'input', attr: { rows: '3', maxlength: '2000', placeholder: 'What can we do for you?' },
  });

  constructor(team: number, teams: Team[], everyone: Door, doing: Doing) {
    this.#team = team;
    this.#teams = teams;
    this.#everyone = everyone;
    this.#doing = doing;
    if (team === 0 && teams.length > 1) {
      this.#choice = h('select', { on: { change: () => this.#chosen() } }, ...teams.map((t) => h('option', { attr: { value: String(t.id) } }, t.name)));
    }
    this.element = h('form', {
      class: 'start',
      on: {
        submit: (event) => {
          event.preventDefault();
          void this.#submit();
        },
      },
    },
    this.#title, this.#lead,
    h('label', { class: 'field' }, h('span', {}, 'Your name ', h('small', {}, '(optional)')), this.#name),
    h('label', { class: 'field' }, h('span', {}, 'E-mail ', this.#optional), this.#email),
    this.#choice && h('label', { class: 'field' }, h('span', {}, 'Topic'), this.#choice),
    h('label', { class: 'field' }, h('span', {}, 'Message'), this.#text),
    this.#error, this.#thanks, this.#button);
    this.#draw();
  }

  /** Takes what the server says of the doors now. */
  doors(teams: Team[], everyone: Door): void {
    this.#teams = teams;
    this.#everyone = everyone;
    this.#refused = false;
    this.#draw();
  }

  /** Empties the message for the next chat; name and e-mail stay. */
  reset(): void {
    this.#text.value = '';
    this.#left = false;
    show(this.#error, false);
    this.#draw();
  }

  get #at(): number {
    return this.#choice ? Number(this.#choice.value) : this.#team;
  }

  get #door(): Door {
    return this.#teams.find((t) => t.id === this.#at) ?? this.#everyone;
  }

  #chosen(): void {
    this.#refused = false;
    this.#draw();
  }

  #draw(): void {
    const { answer, opens } = this.#door;
    const form = answer === 'form' || this.#refused;
    setText(this.#title, form ? 'Nobody is here right now' : 'Hello! How can we help?');
    setText(this.#lead, lead(form ? 'form' : answer, opens));
    show(this.#optional, !form);
    this.#email.required = form;
    this.#text.required = form;
    this.#button.disabled = this.#busy;
    setText(this.#button, this.#busy ? 'One moment…' : form ? 'Leave a message' : 'Start chat');
    show(this.#thanks, this.#left);
  }

  async #submit(): Promise<void> {
    const asked: Asked = { name: this.#name.value.trim(), email: this.#email.value.trim(), team: this.#at, text: this.#text.value.trim() };
    this.#busy = true;
    this.#left = false;
    show(this.#error, false);
    const form = this.#door.answer === 'form' || this.#refused;
    this.#draw();
    try {
      await (form ? this.#doing.leave(asked) : this.#doing.start(asked));
      if (form) {
        this.#text.value = '';
        this.#left = true;
      }
    } catch (err) {
      // It closed meanwhile: what was written stays, and can be left.
      if (err instanceof Refused && err.code === 'offline') this.#refused = true;
      setText(this.#error, sentence(err));
      show(this.#error, true);
    } finally {
      this.#busy = false;
      this.#draw();
    }
  }
}

function lead(answer: string, opens: number | undefined): string {
  const when = opens ? `We open on ${moment(opens)}.` : '';
  if (answer === 'form') return `${when} Leave us a message and we will answer by e-mail.`.trim();
  if (answer === 'hold') return `We are closed. ${when} You can already take your place in line.`;
  return 'Tell us what it is about and we will connect you with someone.';
}
