/**
 * A small state store: one value, replaced as a whole, and people who want to
 * know. Several changes in one turn of the event loop are told once.
 */
export class Store<T> {
  #value: T;
  #told = false;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(initial: T) {
    this.#value = initial;
  }

  get(): T {
    return this.#value;
  }

  /** Replaces the value; a change to the same value is not told. */
  set(next: T): void {
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const listener of [...this.#listeners]) listener(this.#value);
    });
  }

  update(change: (value: T) => T): void {
    this.set(change(this.#value));
  }

  /** Calls listener now and after every change, until the returned function is called. */
  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#value);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
