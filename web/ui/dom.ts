/**
 * The little that pages need to build and change elements. Data only ever
 * becomes text nodes and attribute values; there is no way in for markup.
 */
type Child = Node | string | undefined | false;
type Listener = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

interface Props {
  class?: string;
  on?: Listener;
  hidden?: boolean;
  disabled?: boolean;
  required?: boolean;
  checked?: boolean;
  /** Any other attribute; undefined leaves it out. */
  attr?: Record<string, string | undefined>;
}

/** Makes an element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (props.class) node.className = props.class;
  for (const name of ['hidden', 'disabled', 'required', 'checked'] as const) {
    if (props[name]) node.setAttribute(name, '');
  }
  for (const [name, value] of Object.entries(props.attr ?? {})) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  for (const [name, fn] of Object.entries(props.on ?? {})) node.addEventListener(name, fn as EventListener);
  for (const child of children) if (child !== undefined && child !== false) node.append(child);
  return node;
}

/** Sets text only when it differs, so that live regions are not announced again. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node: HTMLElement, on: boolean): void {
  if (node.hidden === on) node.hidden = !on;
}

/** A line that says something and goes away again. */
export class Flash {
  readonly element: HTMLElement;
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(element: HTMLElement, ms: number) {
    this.element = element;
    this.#ms = ms;
    show(element, false);
  }

  say(text: string): void {
    clearTimeout(this.#timer);
    setText(this.element, text);
    show(this.element, true);
    this.#timer = setTimeout(() => show(this.element, false), this.#ms);
  }
}

/** One item of a keyed list: its element and how to bring it up to date. */
export interface Row<T> {
  readonly node: HTMLElement;
  update(item: T): void;
}

/**
 * Keeps the children of parent equal to items, by key: existing elements are
 * kept (with their focus and scroll), moved only when out of place.
 */
export class Keyed<T> {
  readonly #parent: HTMLElement;
  readonly #key: (item: T) => string;
  readonly #make: (item: T) => Row<T>;
  #rows = new Map<string, Row<T>>();

  constructor(parent: HTMLElement, key: (item: T) => string, make: (item: T) => Row<T>) {
    this.#parent = parent;
    this.#key = key;
    this.#make = make;
  }

  update(items: Iterable<T>): void {
    const rows = new Map<string, Row<T>>();
    let at: ChildNode | null = this.#parent.firstChild;
    for (const item of items) {
      const key = this.#key(item);
      const row = this.#rows.get(key) ?? this.#make(item);
      rows.set(key, row);
      row.update(item);
      if (row.node === at) at = at.nextSibling;
      else this.#parent.insertBefore(row.node, at);
    }
    for (const [key, row] of this.#rows) if (!rows.has(key)) row.node.remove();
    this.#rows = rows;
  }
}

const ICONS = {
  chat: 'M5 6.5A2.5 2.5 0 0 1 7.5 4h9A2.500 2.500 0 0 1 19 6.500v6a2.500 2.500 0 0 1-2.500 2.500H11l-4.200 3.300a.5.5 0 0 1-.8-.4V15a2.500 2.500 0 0 1-1-2z',
  send: 'M4.400 19.600 20.500 12 4.400 4.400l-.4 5.900L14 12 4 13.700z',
  down: 'M6 9.500l6 6 6-6',
  close: 'M6.500 6.500l11 11m0-11l-11 11',
  back: 'M14.500 6l-6 6 6 6',
  phone: 'M6.500 4.500h3l1.500 4-2 1.300a11 11 0 0 0 5.200 5.200l1.300-2 4 1.500v3a1.500 1.500 0 0 1-1.600 1.500A15 15 0 0 1 5 6.100 1.500 1.500 0 0 1 6.500 4.500z',
  eye: 'M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
} as const;
const FILLED = new Set<keyof typeof ICONS>(['send', 'chat']);

/** A decorative icon; give the control around it a label. */
export function icon(name: keyof typeof ICONS): SVGSVGElement {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', FILLED.has(name) ? 'icon filled' : 'icon');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}
