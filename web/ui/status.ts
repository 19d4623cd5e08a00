import { h, setText } from './dom.ts';

/** A status as a dot and its name; the name alone carries the meaning. */
export function statusBadge(): { element: HTMLElement; set(status: string): void } {
  const text = h('span');
  const element = h('span', { class: 'status' }, h('i', { attr: { 'aria-hidden': 'true' } }), text);
  return {
    element,
    set(status) {
      element.dataset['status'] = status;
      setText(text, status);
    },
  };
}

/** The link of this page as one word and a dot. */
export function linkBadge(): { element: HTMLElement; set(at: string): void } {
  const text = h('span');
  const element = h('span', { class: 'live', attr: { role: 'status' } }, h('i', { attr: { 'aria-hidden': 'true' } }), text);
  return {
    element,
    set(at) {
      element.dataset['live'] = String(at === 'open');
      setText(text, at === 'open' ? 'Live' : 'Connecting');
    },
  };
}
