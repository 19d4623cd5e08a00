import type { ToFrame, ToHost } from '../embed/messages.ts';

/**
 * The page around the frame. Its origin comes from the address, where the
 * embedding script put it; a wrong one only means that nobody hears us. Opened
 * on its own, the page has no host and all of this does nothing.
 */
export class Host {
  readonly #origin: string;
  #page = '';
  #shown = true;

  constructor(origin: string, changed: () => void) {
    this.#origin = parent === window ? '' : origin;
    if (this.#origin === '') return;
    this.#shown = false;
    addEventListener('message', (event: MessageEvent) => {
      if (event.source !== parent || event.origin !== this.#origin) return;
      const message = event.data as Partial<ToFrame> | null;
      if (message?.switchboard === 'page' && 'url' in message) this.#page = String(message.url).slice(0, 2_000);
      else if (message?.switchboard === 'shown' && 'shown' in message) {
        this.#shown = message.shown === true;
        changed();
      }
    });
    this.#tell({ switchboard: 'ready' });
  }

  /** Whether there is a page around us that can hide us. */
  get framed(): boolean {
    return this.#origin !== '';
  }
  /** Whether the visitor can see the chat. */
  get shown(): boolean {
    return this.#shown;
  }
  /** Address of the page the visitor is on; "" when unknown. */
  get page(): string {
    return this.#page;
  }

  unread(count: number): void {
    this.#tell({ switchboard: 'unread', count });
  }

  minimise(): void {
    this.#tell({ switchboard: 'minimise' });
  }

  #tell(message: ToHost): void {
    if (this.#origin === '') return;
    try {
      parent.postMessage(message, this.#origin);
    } catch {
      // Not an origin: the address was written by hand.
    }
  }
}
