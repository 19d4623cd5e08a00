import { Refused, type Client } from '../client/index.ts';
import { confirmed } from './dialog.ts';

/** Signs out: at once when idle; with open work only when it is done, after asking. */
export async function leave(client: Client): Promise<void> {
  const self = client.state.get().self;
  if (!self || self.chats + self.calls === 0) {
    try {
      return await client.signOut('now');
    } catch (err) {
      // Work came in between.
      if (!(err instanceof Refused) || err.code !== 'conflict') throw err;
    }
  }
  const work = 'You still have open work. You get nothing new, and are signed out when the last chat or call ends.';
  if (await confirmed('Sign out when you are done?', work, 'Finish and sign out')) await client.signOut('drain');
}
