/**
 * What the host page's script and the widget frame say to each other. Each side
 * takes a message only from the window and the origin it expects.
 */

/** Frame to host. */
export type ToHost =
  | { switchboard: 'ready' }
  | { switchboard: 'unread'; count: number }
  | { switchboard: 'minimise' };

/** Host to frame. */
export type ToFrame =
  | { switchboard: 'shown'; shown: boolean }
  | { switchboard: 'page'; url: string };
