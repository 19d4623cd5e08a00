/**
 * The one error of the client library: an answer of the server that refuses,
 * over the socket or over HTTP. Branch on `code`; `message` is for people.
 */
export class Refused extends Error {
  /** One of error.go's codes, or "disconnected" when no answer can come any more. */
  readonly code: string;
  /** The input field at fault, "" when none. */
  readonly field: string;
  /** Milliseconds after which the same request may work; 0 when unknown. */
  readonly retryMs: number;

  constructor(code: string, message: string, field = '', retryMs = 0) {
    super(message);
    this.name = 'Refused';
    this.code = code;
    this.field = field;
    this.retryMs = retryMs;
  }
}

/** Whether trying again with the same credentials is pointless. */
export function final(err: unknown): err is Refused {
  return (
    err instanceof Refused &&
    ['unauthorized', 'expired', 'logged_out', 'forbidden', 'invalid', 'not_found'].includes(err.code)
  );
}

/** Whether the same request may work a little later. */
export function transient(err: unknown): err is Refused {
  return err instanceof Refused && ['unavailable', 'too_fast', 'internal'].includes(err.code);
}

/** A sentence for people about any error. */
export function sentence(err: unknown): string {
  if (err instanceof Refused) {
    const s = err.message || err.code;
    return s.charAt(0).toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? '' : '.');
  }
  return 'Something went wrong. Please try again.';
}
