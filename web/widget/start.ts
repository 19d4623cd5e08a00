import { sentence } from '../client/index.ts';
import { h, setText, show } from '../ui/dom.ts';

export interface Team {
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

/** The form before a chat: who asks, and what. Name and e-mail may stay empty. */
export class StartForm {
  readonly element: HTMLFormElement;
  readonly #button = h('button', { class: 'button primary wide', attr: { type: 'submit' } }, 'Start chat');
  readonly #error = h('p', { class: 'notice bad box', hidden: true, attr: { role: 'alert' } });
  readonly #text = h('textarea', {
    class: 'input', attr: { rows: '3', maxlength: '2000', placeholder: 'What can we do for you?' },
  });

  constructor(team: number, teams: Team[], submit: (asked: Asked) => Promise<void>) {
    const name = h('input', { class: 'input', attr: { autocomplete: 'name', maxlength: '80' } });
    const email = h('input', { class: 'input', attr: { type: 'email', autocomplete: 'email', maxlength: '120' } });
    const choice = h('select', {}, ...teams.map((t) => h('option', { attr: { value: String(t.id) } }, t.name)));
    const choose = team === 0 && teams.length > 1;
    this.element = h('form', {
      class: 'start',
      on: {
        submit: (event) => {
          event.preventDefault();
          void this.#submit(() => submit({
            name: name.value.trim(),
            email: email.value.trim(),
            team: choose ? Number(choice.value) : team,
            text: this.#text.value.trim(),
          }));
        },
      },
    },
    h('h1', {}, 'Hello! How can we help?'),
    h('p', { class: 'muted' }, 'Tell us what it is about and we will connect you with someone.'),
    h('label', { class: 'field' }, h('span', {}, 'Your name ', h('small', {}, '(optional)')), name),
    h('label', { class: 'field' }, h('span', {}, 'E-mail ', h('small', {}, '(optional)')), email),
    choose && h('label', { class: 'field' }, h('span', {}, 'Topic'), choice),
    h('label', { class: 'field' }, h('span', {}, 'Message'), this.#text),
    this.#error,
    this.#button);
  }

  /** Empties the message for the next chat; name and e-mail stay. */
  reset(): void {
    this.#text.value = '';
    show(this.#error, false);
  }

  async #submit(submit: () => Promise<void>): Promise<void> {
    this.#button.disabled = true;
    setText(this.#button, 'Connecting…');
    show(this.#error, false);
    try {
      await submit();
    } catch (err) {
      setText(this.#error, sentence(err));
      show(this.#error, true);
    } finally {
      this.#button.disabled = false;
      setText(this.#button, 'Start chat');
    }
  }
}
