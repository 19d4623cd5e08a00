import { h } from './dom.ts';

/** Asks a question in a dialog. Resolves to whether the person agreed. */
export function confirmed(title: string, text: string, yes: string, danger = false): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = h('dialog', {
      attr: { 'aria-labelledby': 'dialog-title' },
      on: {
        close: () => {
          dialog.remove();
          resolve(dialog.returnValue === 'yes');
        },
      },
    },
    h('h2', { attr: { id: 'dialog-title' } }, title),
    h('p', { class: 'muted' }, text),
    h('form', { class: 'actions', attr: { method: 'dialog' } },
      h('button', { class: 'button', attr: { value: 'no' } }, 'Cancel'),
      h('button', { class: danger ? 'button danger' : 'button primary', attr: { value: 'yes' } }, yes)));
    document.body.append(dialog);
    dialog.showModal();
  });
}
