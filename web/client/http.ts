import { Refused } from './errors.ts';

export interface CallOptions {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  /** Bearer token. */
  token?: string;
  /** Milliseconds until the call is given up; 15 s by default. */
  timeoutMs?: number;
}

/**
 * One JSON call to the gateway. Rejects with Refused: the server's own error,
 * or "unavailable" when nothing that can be understood came back. The answer's
 * shape is the caller's promise to check.
 */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (options.token) headers['Authorization'] = `Bearer ${options.token}`;
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(path, {
      method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(options.timeoutMs ?? 15_000),
    });
    body = response.status === 204 ? undefined : await response.json(); // 204: done, and nothing to say
  } catch {
    throw new Refused('unavailable', 'the service cannot be reached right now');
  }
  if (response.ok) return body as T;
  const e = body as { code?: unknown; message?: unknown; field?: unknown; retry_ms?: unknown } | null;
  throw new Refused(
    typeof e?.code === 'string' ? e.code : 'unavailable',
    typeof e?.message === 'string' ? e.message : `the service answered ${response.status}`,
    typeof e?.field === 'string' ? e.field : '',
    typeof e?.retry_ms === 'number' ? e.retry_ms : 0,
  );
}
