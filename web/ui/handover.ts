import { call, sentence, type Chat, type Client, type ClientState, type Operator, type Session } from '../client/index.ts';
import { h, setText, show } from './dom.ts';

/** What can be asked of others for a chat. */
const WAYS = [
  ['hold', 'Transfer to a person'],
  ['team', 'Transfer to a team'],
  ['consult', 'Ask for advice, unseen by the visitor'],
  ['join', 'Ask to join the chat'],
] as const;
type Way = (typeof WAYS)[number][0];

/** What became of a transfer, for whoever asked. */
const OUTCOMES: Record<string, string> = {
  asked: 'They are asked. The chat stays here until they accept.',
  moved: 'The chat is theirs now.',
  offered: 'The chat is offered to the next operator.',
  queued: 'The chat waits in the queue and keeps its place.',
};

/** Rows of the list of people; who is not among them is found by name. */
const SHOWN = 100;
const byName = new Intl.Collator();

/** Asks to whom, and how, a chat goes; and brings colleagues into it. */
export class Handover {
  readonly #client: Client;
  readonly #session: Session;
  readonly #watch: (on: boolean) => void;
  readonly #said: (text: string) => void;

  /** watch: have the client watch all operators while the dialog is open; said: what became of it. */
  constructor(client: Client, session: Session, watch: (on: boolean) => void, said: (text: string) => void) {
    this.#client = client;
    this.#session = session;
    this.#watch = watch;
    this.#said = said;
  }

  open(chat: Chat): void {
    const way = h('select', { attr: { 'aria-label': 'What to do' } }, ...WAYS.map(([value, label]) => h('option', { attr: { value } }, label)));
    const search = h('input', { class: 'input', attr: { type: 'search', placeholder: 'Find by name', 'aria-label': 'Find a colleague' } });
    const people = h('select', { class: 'people-list', attr: { size: '6', 'aria-label': 'Colleague' } });
    const team = h('select', { attr: { 'aria-label': 'To team' } });
    const queue = h('input', { attr: { type: 'checkbox' } });
    const over = h('input', { attr: { type: 'checkbox' } });
    const word = h('input', { class: 'input', attr: { maxlength: '200', placeholder: 'What they should know', 'aria-label': 'What they should know' } });
    const error = h('p', { class: 'notice bad box', hidden: true, attr: { role: 'alert' } });
    const yes = h('button', { class: 'button primary', attr: { type: 'submit' } });
    const overLine = h('label', { class: 'check' }, over, 'Also over their limit');
    const teamLine = h('div', { class: 'stack-gap' }, team, h('label', { class: 'check' }, queue, 'Queue it even if nobody answers there now'));
    const personLine = h('div', { class: 'stack-gap' }, search, people, overLine, word);
    const dialog = h('dialog', { class: 'handover', attr: { 'aria-labelledby': 'handover-title' } },
      h('h2', { attr: { id: 'handover-title' } }, 'Hand over or get help'),
      h('form', { class: 'stack-gap', on: { submit: (e) => { e.preventDefault(); void submit(); } } },
        way, personLine, teamLine, error,
        h('div', { class: 'actions' },
          h('button', { class: 'button', attr: { type: 'button' }, on: { click: () => dialog.close() } }, 'Cancel'), yes)));
    const draw = (s: ClientState) => {
      const toTeam = way.value === 'team';
      show(personLine, !toTeam);
      show(teamLine, toTeam);
      show(overLine, way.value === 'hold');
      setText(yes, way.value === 'consult' || way.value === 'join' ? 'Ask' : 'Transfer');
      const chosen = people.value;
      people.replaceChildren(...candidates(s, chat, search.value).map((o) => h('option', { attr: { value: String(o.id) } }, `${o.name} · ${o.status}`)));
      people.value = chosen;
      yes.disabled = toTeam ? team.value === '' : people.value === '';
    };
    const again = () => draw(this.#client.state.get());
    way.addEventListener('change', again);
    search.addEventListener('input', again);
    people.addEventListener('change', again);
    const off = this.#client.state.subscribe(draw);
    dialog.addEventListener('close', () => {
      off();
      this.#watch(false);
      dialog.remove();
    });
    const submit = async () => {
      yes.disabled = true;
      try {
        this.#said(await this.#ask(chat, way.value as Way, Number(people.value), Number(team.value), queue.checked, over.checked, word.value.trim()));
        dialog.close();
      } catch (err) {
        setText(error, sentence(err));
        show(error, true);
        again();
      }
    };
    this.#watch(true);
    document.body.append(dialog);
    dialog.showModal();
    void this.#teams().then((teams) => {
      team.replaceChildren(...teams.map((t) => h('option', { attr: { value: String(t.id) } }, t.name)));
      if (chat.info.team) team.value = String(chat.info.team);
      again();
    }, () => undefined); // without team names people can be asked all the same
  }

  async #teams(): Promise<{ id: number; name: string }[]> {
    const { token } = await this.#session.token();
    return (await call<{ id: number; name: string }[] | null>('/v1/teams', { token })) ?? [];
  }

  async #ask(chat: Chat, way: Way, operator: number, team: number, queue: boolean, over: boolean, text: string): Promise<string> {
    const id = chat.info.chat;
    switch (way) {
      case 'team':
        return OUTCOMES[await this.#client.transfer(id, { to_team: team, ...(queue && { queue }) })] ?? '';
      case 'hold': {
        const teams = this.#client.state.get().operators.get(operator)?.teams ?? [];
        const other = chat.info.team && !teams.includes(chat.info.team) ? teams.find((t) => t !== 0) : undefined;
        return OUTCOMES[await this.#client.transfer(id, {
          operator,
          ...(other !== undefined && { to_team: other }),
          ...(over && { over }),
          ...(text && { text }),
        })] ?? '';
      }
      default:
        await this.#client.invite(id, operator, way, text);
        return 'They are asked.';
    }
  }
}

/** Who can be asked: who is here, is not me and does not hold the chat. */
function candidates(s: ClientState, chat: Chat, search: string): Operator[] {
  const name = search.trim().toLocaleLowerCase();
  return [...s.operators.values()]
    .filter((o) => o.account === 0 && o.here && !o.leaving && `o${o.id}` !== s.me?.person && o.id !== chat.info.operator?.id)
    .filter((o) => name === '' || o.name.toLocaleLowerCase().includes(name))
    .sort((a, b) => Number(b.status === 'Available') - Number(a.status === 'Available') || byName.compare(a.name, b.name))
    .slice(0, SHOWN);
}
