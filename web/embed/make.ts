/** What the embedding script puts on a page that is not ours. */

/**
 * Makes an element that the page's own style sheets do not reach. Styles are
 * set by property, which every content security policy allows.
 */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  style: Partial<CSSStyleDeclaration>,
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  // The browser's own focus ring comes back, or nobody could find it by keyboard.
  Object.assign(node.style, { all: 'initial', outline: 'revert', outlineOffset: '3px' }, style);
  return node;
}

/** The speech bubble on the button. */
export function bubble(): SVGSVGElement {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  const attributes = { viewBox: '0 0 24 24', width: '26', height: '26', fill: 'currentColor', 'aria-hidden': 'true' };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const path = document.createElementNS(ns, 'path');
  path.setAttribute(
    'd',
    'M4 6.5A2.5 2.5 0 0 1 6.5 4h11A2.5 2.5 0 0 1 20 6.5v7a2.5 2.5 0 0 1-2.5 2.5H11l-4.2 3.8a.5.5 0 0 1-.8-.4V16A2.5 2.5 0 0 1 4 13.5z',
  );
  svg.append(path);
  return svg;
}

const OPEN_KEY = 'switchboard.open';

/** Keeps over the pages of one tab whether the chat is open. Storage may be forbidden; then it is not kept. */
export function remember(open: boolean): void {
  try {
    sessionStorage.setItem(OPEN_KEY, open ? '1' : '');
  } catch {
    // Not kept.
  }
}

export function remembered(): boolean {
  try {
    return sessionStorage.getItem(OPEN_KEY) === '1';
  } catch {
    return false;
  }
}
