/**
 * The script that a customer's page embeds:
 *
 *   <script src="https://HOST/widget.js" data-org="12" data-team="7" async></script>
 *
 * It adds one button and, at the first click, one frame. It leaves nothing on
 * window but the guard below, and hears only the frame it made.
 */
import { bubble, make, remember, remembered } from './make.ts';
import type { ToFrame, ToHost } from './messages.ts';

const GUARD = 'switchboardWidget';
const script = document.currentScript as HTMLScriptElement | null;
const host = window as unknown as Record<string, unknown>;

if (script && !host[GUARD]) {
  host[GUARD] = true;
  if (document.body) embed(script);
  else addEventListener('DOMContentLoaded', () => embed(script), { once: true });
}

function embed(from: HTMLScriptElement): void {
  const origin = new URL(from.src).origin;
  const label = from.dataset['label'] ?? 'Chat with us';
  const button = make('button', {
    position: 'fixed', right: '20px', bottom: '20px', width: '56px', height: '56px', borderRadius: '28px',
    background: '#0f6e63', color: '#fff', cursor: 'pointer', zIndex: '2147483000',
    boxShadow: '0 6px 20px rgba(10, 30, 40, .28)', display: 'grid', placeItems: 'center',
    font: '600 12px/1 system-ui, sans-serif',
  });
  button.type = 'button';
  button.ariaLabel = label;
  button.ariaExpanded = 'false';
  button.append(bubble());
  const badge = make('span', {
    position: 'absolute', top: '-3px', right: '-3px', minWidth: '20px', padding: '4px 5px', borderRadius: '10px',
    background: '#b3261e', color: '#fff', font: '600 12px/1 system-ui, sans-serif', textAlign: 'center',
    boxSizing: 'border-box', display: 'none',
  });
  button.append(badge);
  button.addEventListener('click', () => toggle(!shown));
  document.body.append(button);

  let frame: HTMLIFrameElement | undefined;
  let shown = false;

  function toggle(show: boolean): void {
    shown = show;
    frame ??= show ? open() : undefined;
    if (!frame) return;
    frame.style.display = show ? 'block' : 'none';
    button.ariaExpanded = String(show);
    place(frame);
    tell({ switchboard: 'shown', shown: show });
    if (show) frame.focus();
    else button.focus();
    remember(show);
  }

  function open(): HTMLIFrameElement {
    const url = new URL('/widget/', origin);
    url.search = new URLSearchParams({
      org: from.dataset['org'] ?? '', team: from.dataset['team'] ?? '0', host: location.origin,
    }).toString();
    const made = make('iframe', {
      position: 'fixed', zIndex: '2147483001', background: 'transparent', colorScheme: 'normal',
      boxShadow: '0 12px 40px rgba(10, 30, 40, .28)',
    });
    made.title = label;
    made.src = url.href;
    document.body.append(made);
    return made;
  }

  function place(f: HTMLIFrameElement): void {
    const phone = innerWidth < 480 || innerHeight < 420;
    Object.assign(f.style, phone
      ? { inset: '0', width: '100%', height: '100%', borderRadius: '0' }
      : { inset: 'auto 20px 90px auto', width: '384px', height: 'min(620px, 100vh - 110px)', borderRadius: '16px' });
  }

  function tell(message: ToFrame): void {
    frame?.contentWindow?.postMessage(message, origin);
  }

  addEventListener('resize', () => frame && place(frame));
  addEventListener('message', (event: MessageEvent) => {
    if (!frame || event.source !== frame.contentWindow || event.origin !== origin) return;
    const message = event.data as Partial<ToHost> | null;
    if (message?.switchboard === 'ready') {
      tell({ switchboard: 'page', url: location.href });
      tell({ switchboard: 'shown', shown });
    } else if (message?.switchboard === 'minimise') toggle(false);
    else if (message?.switchboard === 'unread') {
      const n = Number((message as { count?: unknown }).count) || 0;
      badge.textContent = n > 9 ? '9+' : String(n);
      badge.style.display = n > 0 ? 'block' : 'none';
      button.ariaLabel = n > 0 ? `${label}, ${n} new` : label;
    }
  });
  if (remembered()) toggle(true);
}
